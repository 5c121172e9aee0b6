#!/usr/bin/env python3
"""Proves that an endpoint is declared once: creates endpoints in a scratch copy of this clone and runs the tests about
endpoints. Then leaves out one thing at a time and checks that a test fails and names it.

Run by `make test-endpoint`. SCRATCH is the folder of the copy, which is kept so that builds are incremental.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRATCH = pathlib.Path(os.environ["SCRATCH"])

# One of each kind: public with a rate limit, in a session with a path parameter, on a schedule.
FUNCTIONS = {
    "say-hello": ["--route", "/auth/say-hello"],
    "get-greeting": ["--method", "GET", "--route", "/greetings/{id}", "--access", "session"],
    "sweep-greetings": ["--schedule", "rate(5 minutes)"],
}
MARKER = "  # Access to the table that several functions need."

# The tests that compare generated files, and can write them; then all tests about endpoints.
GENERATED = r"test(/^(generated|events)::/)"
TESTS = (
    "package(tests) and test(/^(boot|demo|events|faults|generated|links|policies|reasons|secrets|stage|template)::/)"
    " or package(catalog) or package(say-hello) or package(get-greeting) or package(sweep-greetings)"
)


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def copy():
    """Updates the scratch copy from this clone. Writes only files that differ, so that cargo rebuilds no more."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout
    files = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    if SCRATCH.exists():
        for path in sorted(SCRATCH.rglob("*"), reverse=True):
            if path.is_dir():
                if not any(path.iterdir()):
                    path.rmdir()
            elif str(path.relative_to(SCRATCH)) not in files:
                path.unlink()
    for name in files:
        source, target = ROOT / name, SCRATCH / name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            shutil.copymode(source, target)


def run(*command, environment=()):
    """Runs a command in the scratch copy. Returns whether it succeeded, and its output."""
    process = subprocess.run(
        command, cwd=SCRATCH, env=os.environ | dict(environment), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    return process.returncode == 0, process.stdout


def run_or_exit(*command):
    passed, output = run(*command)
    if not passed:
        sys.exit(f"{' '.join(command)} failed:\n{output}")
    return output


def nextest(expression, *arguments, environment=()):
    return run("cargo", "nextest", "run", "--locked", "--no-fail-fast", *arguments, "-E", expression, environment=environment)


def create():
    # The build folder is the clone's. A version of its own keeps the copy's packages apart from the clone's there.
    manifest = SCRATCH / "Cargo.toml"
    manifest.write_text(manifest.read_text().replace('version = "0.1.0"', 'version = "0.0.0"', 1))
    template = SCRATCH / "template.yaml"
    for name, arguments in FUNCTIONS.items():
        entry = subprocess.run(
            [sys.executable, "tests/endpoint/create.py", name, *arguments],
            cwd=SCRATCH, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ).stdout
        text = template.read_text()
        assert text.count(MARKER) == 1, f"template.yaml must contain {MARKER!r} exactly once"
        template.write_text(text.replace(MARKER, f"{entry}\n{MARKER}"))
    run_or_exit("cargo", "update", "--workspace", "--offline")


# What is left out: its name, the file, the old and the new text (None: the file is removed), the tests that must fail,
# and what their output must name.
OMISSIONS = [
    ("the entry in template.yaml", "template.yaml", "Binary: say-hello}", "Binary: sign-in}", "template::", "say-hello"),
    ("the authorizer on its route", "template.yaml",
     "Path: '/greetings/{id}', Auth: {Authorizer: SessionAuthorizer}", "Path: '/greetings/{id}'", "template::",
     "get-greeting"),
    ("its method", "template.yaml", "Method: GET, Path: '/greetings/{id}'", "Method: POST, Path: '/greetings/{id}'",
     "template::", "get-greeting"),
    ("its schedule", "template.yaml", "rate(5 minutes)", "rate(6 minutes)", "template::", "sweep-greetings"),
    ("its permission on the table", "template.yaml",
     "FunctionName: !Sub ${AWS::StackName}-say-hello\n      Policies: [!Ref RateLimitAccess]\n",
     "FunctionName: !Sub ${AWS::StackName}-say-hello\n", "(template|policies)::", "say-hello"),
    ("its event", "events/say-hello/example.json", None, None, "events::", "say-hello"),
    ("the snapshot of its event", "tests/it/snapshots/events/say-hello__example.snap", None, None, "events::",
     "say-hello"),
    ("its operation in openapi.yaml", "openapi.yaml", "operationId: say-hello", "operationId: hello", "generated::",
     "openapi.yaml"),
    ("its row in README.md", "README.md", "[say-hello]", "[hello]", "generated::", "README.md"),
    ("its variables in docs/configuration.md", "docs/configuration.md", "say-hello", "hello", "generated::",
     "docs/configuration.md"),
    ("its reasons in docs/errors.md", "docs/errors.md", "say-hello", "hello", "generated::", "docs/errors.md"),
    ("its row in docs/rounds.md", "docs/rounds.md", "say-hello", "hello", "generated::", "docs/rounds.md"),
    ("its route in cargo lambda watch", "Cargo.toml", '"/auth/say-hello" = "say-hello"\n', "", "generated::",
     "Cargo.toml"),
    ("its budget of rounds", "functions/say-hello/src/lib.rs", ".rounds(1)", "", "generated::", "say-hello"),
    ("a group of reasons", "functions/say-hello/src/lib.rs", ", store::FAILURES]", "]", "faults::", "say-hello"),
    ("a field of its example", "functions/say-hello/src/lib.rs", '{ "id": "jane" }', "{}", "stage::", "say-hello"),
    ("its documented response", "functions/say-hello/src/lib.rs", '"greeting": "Hello', '"hello": "Hello', "stage::",
     "say-hello"),
    ("its main", "functions/say-hello/src/main.rs", "api::main!(say_hello::SayHello);", "fn main() {}", "stage::",
     "functions/say-hello/src/main.rs"),
]


def leave_out(what, name, old, new, group, expected):
    file = SCRATCH / name
    before = file.read_bytes()
    if old is None:
        file.unlink()
    else:
        text = before.decode()
        assert old in text, f"{name} must contain {old!r}"
        file.write_text(text.replace(old, new))
    try:
        passed, output = nextest(f"package(tests) and test(/^{group}/)", "-p", "tests", environment={"INSTA_UPDATE": "no"})
    finally:
        file.write_bytes(before)
    if passed:
        sys.exit(f"No test fails without {what}.")
    if expected not in output:
        sys.exit(f"Without {what}, a test fails, but does not name {expected}:\n{output}")
    say(f"without {what}, a test fails and names {expected}")


def main():
    started = time.monotonic()
    copy()
    create()
    say(f"created {', '.join(FUNCTIONS)}")
    run_or_exit("cargo", "build", "--workspace", "--locked")
    update = {"UPDATE_GOLDEN": "1", "INSTA_UPDATE": "always", "INSTA_FORCE_PASS": "1"}
    passed, output = nextest(f"package(tests) and {GENERATED}", "--workspace", environment=update)
    if not passed:
        sys.exit(output)
    say("generated documents and snapshots")
    passed, output = nextest(TESTS, "--workspace", environment={"INSTA_UPDATE": "no"})
    if not passed:
        sys.exit(output)
    say("the tests about endpoints pass: " + next(line.strip() for line in output.splitlines() if "Summary" in line))
    run_or_exit("cfn-lint", "template.yaml")
    run_or_exit("sam", "validate", "--lint")
    say("cfn-lint and sam validate accept the template")
    for omission in OMISSIONS:
        leave_out(*omission)
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    say(f"{len(FUNCTIONS)} endpoints declared once, {len(OMISSIONS)} omissions detected, in {minutes} min {seconds} s")


if __name__ == "__main__":
    main()
