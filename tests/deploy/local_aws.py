"""Deploys the output of `make build` to MiniStack, a local AWS emulator, and keeps it up until standard input closes.

    local_aws.py --workos-url http://127.0.0.1:4100 --livekit-url http://127.0.0.1:7880

Prints one line of JSON when the stack is up:

    {"url": "http://127.0.0.1:41234", "host": "abc123.execute-api.localhost:41234", "table": "…", "endpoint": "…"}

Send requests to `url` with the header `Host: <host>`, which tells MiniStack which API they are for. Everything else goes
to standard error. If a resource cannot be created, the exit code is not zero and CloudFormation's reasons are printed.

The steps are those of a real deployment: `sam package` uploads the artifacts, the SAM transform produces CloudFormation,
and a stack is created. One step is ours, because MiniStack does not import the OpenAPI body of an HTTP API: the body
becomes explicit routes, integrations and an authorizer, one for one.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from unittest.mock import Mock

import boto3
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

REGION = "eu-central-1"
STACK = "authentication-api-dev"
SECRET = {
    "workosApiKey": "sk_test_default",
    "livekitApiKey": "devkey",
    "livekitApiSecret": "secret",
    "recordingAccessKey": "recorder",
    "recordingSecretKey": "recorder-secret",
}


def say(text):
    print(text, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_ministack(port, folder):
    """Starts MiniStack on loopback and waits until it is healthy."""
    program = os.environ.get("MINISTACK", "ministack")
    # MiniStack's functions inherit its environment, so leave out everything that could hide a variable missing from the
    # template. They need the endpoint, which on Lambda the SDK derives itself.
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "localhost",
        "MINISTACK_REGION": REGION,
        "TMPDIR": folder,
        "S3_DATA_DIR": f"{folder}/s3",
        "LAMBDA_EXECUTOR": "local",
    }
    log = open(f"{folder}/ministack.log", "w", encoding="utf-8")
    process = subprocess.Popen([program], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"MiniStack exited: {Path(log.name).read_text(encoding='utf-8')[-2000:]}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_ministack/health", timeout=2).close()
            return process
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    process.terminate()
    raise SystemExit("MiniStack was not healthy within 60 s")


def package(template, bucket, folder):
    """Uploads the artifacts with `sam package` and returns the template with their locations."""
    output = f"{folder}/packaged.yaml"
    subprocess.run(
        ["sam", "package", "--template-file", template, "--s3-bucket", bucket, "--output-template-file", output],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        stderr=sys.stderr,
    )
    return yaml_parse(Path(output).read_text(encoding="utf-8"))


def unwrap(value):
    """The value and the condition of `{"Fn::If": [condition, value, NoValue]}`, or the value itself."""
    if isinstance(value, dict) and list(value) == ["Fn::If"]:
        condition, inner, _ = value["Fn::If"]
        return inner, condition
    return value, None


def function_arn(uri):
    """The ARN of the function in an integration's URI, as `Fn::GetAtt`."""
    text = uri["Fn::Sub"] if isinstance(uri["Fn::Sub"], str) else json.dumps(uri["Fn::Sub"])
    name = re.search(r"\$\{(\w+)\.Arn\}", text) or re.search(r'"Fn::GetAtt": \["(\w+)", "Arn"\]', text)
    return {"Fn::GetAtt": [name.group(1), "Arn"]}


def spell_out(stack):
    """Replaces the OpenAPI body of each HTTP API with the resources that API Gateway would import from it."""
    resources = stack["Resources"]
    for api_id, api in [(k, r) for k, r in resources.items() if r["Type"] == "AWS::ApiGatewayV2::Api"]:
        body = api["Properties"].pop("Body")
        api["Properties"].pop("FailOnWarnings", None)
        api["Properties"] |= {"Name": body["info"]["title"], "ProtocolType": "HTTP"}
        if cors := body.get("x-amazon-apigateway-cors"):
            # MiniStack stores property names as they are and reads API Gateway's own, which start in lower case.
            api["Properties"]["CorsConfiguration"] = cors
        authorizers = {}
        for name, scheme in body.get("components", {}).get("securitySchemes", {}).items():
            settings = scheme["x-amazon-apigateway-authorizer"]
            authorizers[name] = f"{api_id}{name}"
            resources[authorizers[name]] = {
                "Type": "AWS::ApiGatewayV2::Authorizer",
                "Properties": {
                    "ApiId": {"Ref": api_id},
                    "Name": name,
                    "AuthorizerType": "REQUEST",
                    "AuthorizerUri": function_arn(settings["authorizerUri"]),
                    "AuthorizerPayloadFormatVersion": settings["authorizerPayloadFormatVersion"],
                    "EnableSimpleResponses": settings["enableSimpleResponses"],
                    "AuthorizerResultTtlInSeconds": settings["authorizerResultTtlInSeconds"],
                    "IdentitySource": settings.get("identitySource", []),
                },
            }
        for path, item in body["paths"].items():
            item, outer = unwrap(item)
            for method, operation in item.items():
                operation, inner = unwrap(operation)
                condition = outer or inner
                name = api_id + "".join(word.capitalize() for word in re.findall(r"\w+", f"{method}_{path}".replace("_", " ")))
                integration = operation["x-amazon-apigateway-integration"]
                route = {
                    "ApiId": {"Ref": api_id},
                    "RouteKey": f"{method.upper()} {path}",
                    "Target": {"Fn::Join": ["/", ["integrations", {"Ref": f"{name}Integration"}]]},
                }
                for requirement in operation.get("security", []):
                    route |= {"AuthorizationType": "CUSTOM", "AuthorizerId": {"Ref": authorizers[next(iter(requirement))]}}
                made = {
                    f"{name}Integration": {
                        "Type": "AWS::ApiGatewayV2::Integration",
                        "Properties": {
                            "ApiId": {"Ref": api_id},
                            "IntegrationType": "AWS_PROXY",
                            "IntegrationUri": function_arn(unwrap(integration["uri"])[0]),
                            "PayloadFormatVersion": integration["payloadFormatVersion"],
                        },
                    },
                    f"{name}Route": {"Type": "AWS::ApiGatewayV2::Route", "Properties": route},
                }
                for resource in made.values():
                    if condition:
                        resource["Condition"] = condition
                resources |= made
    return stack


def deploy(template, parameters, session):
    """Creates the stack and returns its outputs and resources."""
    stack = spell_out(transform(template, dict(parameters), Mock(load=lambda: {})))
    # CloudFormation removes it when it runs the transform.
    stack.pop("Transform", None)
    cloudformation = session.client("cloudformation")
    bucket = "templates"
    session.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    session.client("s3").put_object(Bucket=bucket, Key="template.json", Body=json.dumps(stack, default=str))
    cloudformation.create_stack(
        StackName=STACK,
        TemplateURL=f"{os.environ['AWS_ENDPOINT_URL']}/{bucket}/template.json",
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    deadline = time.monotonic() + 180
    while (state := cloudformation.describe_stacks(StackName=STACK)["Stacks"][0])["StackStatus"].endswith("IN_PROGRESS"):
        if time.monotonic() > deadline:
            raise SystemExit("The stack did not come up within 180 s")
        time.sleep(0.5)
    if state["StackStatus"] != "CREATE_COMPLETE":
        for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=STACK):
            for event in page["StackEvents"]:
                if event["ResourceStatus"].endswith("FAILED"):
                    say(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}")
        raise SystemExit(f"The stack is {state['StackStatus']}")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in state["Outputs"]}
    api_id = cloudformation.describe_stack_resource(StackName=STACK, LogicalResourceId="HttpApi")
    return outputs, api_id["StackResourceDetail"]["PhysicalResourceId"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--template", default=".aws-sam/build/template.yaml")
    arguments.add_argument("--workos-url", required=True, help="WorkOS, or its double")
    arguments.add_argument("--livekit-url", required=True, help="LiveKit, or its double")
    arguments.add_argument("--origin", default="http://localhost:5173", help="the front end")
    arguments = arguments.parse_args()

    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    # Stay on loopback even if the developer is signed in to an AWS account.
    for variable in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[variable]
    os.environ |= {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "SAM_CLI_TELEMETRY": "0",
    }
    with tempfile.TemporaryDirectory(prefix="local-aws-") as folder:
        say(f"Starting MiniStack on {endpoint}")
        ministack = start_ministack(port, folder)
        try:
            session = boto3.Session(region_name=REGION)
            session.client("secretsmanager").create_secret(Name="authentication-api", SecretString=json.dumps(SECRET))
            session.client("s3").create_bucket(
                Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": REGION}
            )
            say("Packaging")
            template = package(arguments.template, "artifacts", folder)
            say("Deploying")
            parameters = {
                "Stage": "dev",
                "AllowedOrigins": arguments.origin,
                "WorkosClientId": "client_local",
                "WorkosApiUrl": arguments.workos_url,
                "OauthRedirectUri": f"{arguments.origin}/callback",
                "SignOutReturnTo": f"{arguments.origin}/",
                "LivekitUrl": arguments.livekit_url,
            }
            outputs, api_id = deploy(template, parameters, session)
            print(
                json.dumps(
                    {
                        "url": endpoint,
                        "host": f"{api_id}.execute-api.localhost:{port}",
                        "endpoint": endpoint,
                        "table": outputs["SessionTableName"],
                        "bucket": outputs["RecordingBucketName"],
                    }
                ),
                flush=True,
            )
            sys.stdin.read()
        finally:
            ministack.terminate()
            ministack.wait(timeout=30)


if __name__ == "__main__":
    main()
