// Client of the Lambda Runtime API, like AWS' own for Node.js: it keeps one connection, gets an event and posts the
// response.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

import http from 'node:http';

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const request = http.request({ host, port, agent, method, path: `/2018-06-01/runtime/${path}`, headers }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(chunks) }));
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** Serves events with `handler(event, context)`; never returns. */
export async function run(handler) {
  for (;;) {
    const { headers, body } = await call('GET', 'invocation/next');
    const id = headers['lambda-runtime-aws-request-id'];
    process.env._X_AMZN_TRACE_ID = headers['lambda-runtime-trace-id'];
    try {
      const result = await handler(JSON.parse(body), { awsRequestId: id });
      await call('POST', `invocation/${id}/response`, JSON.stringify(result));
    } catch (error) {
      const report = { errorType: error.name, errorMessage: error.message, trace: error.stack?.split('\n') };
      await call('POST', `invocation/${id}/error`, JSON.stringify(report));
    }
  }
}
