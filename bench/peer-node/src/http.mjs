// What all endpoints share: origin check, body, response, errors and one log line.

import { createHash } from 'node:crypto';
import { run } from './runtime.mjs';

const HEADERS = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'strict-transport-security': 'max-age=63072000; includeSubDomains',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
};

const MESSAGES = {
  400: 'Bad request',
  401: 'Unauthorized',
  403: 'Forbidden',
  413: 'Payload too large',
  415: 'Unsupported media type',
  429: 'Too many requests',
  500: 'Internal server error',
  502: 'Bad gateway',
  503: 'Service unavailable',
};

/** The reasons after which the same request can succeed later, of those that the peer uses. */
const RETRYABLE = new Set(['rate_limited', 'workos_unavailable', 'workos_busy', 'store_unavailable']);

const allowedOrigins = (process.env.ALLOWED_ORIGINS ?? '').split(',');

/** An error for the client. */
export class ApiError extends Error {
  constructor(status, reason, { field, retryAfter, cause } = {}) {
    super(reason, { cause });
    Object.assign(this, { status, reason, field, retryAfter });
  }
}

export function log(level, message, fields) {
  console.log(JSON.stringify({ level, message, timestamp: new Date().toISOString(), service: 'authentication-api', ...fields }));
}

function readBody(event) {
  if (!event.body) return {};
  const text = event.isBase64Encoded ? Buffer.from(event.body, 'base64').toString('utf8') : event.body;
  if (Buffer.byteLength(text) > 16 * 1024) throw new ApiError(413, 'body_too_large');
  if (!event.headers?.['content-type']?.startsWith('application/json')) throw new ApiError(415, 'unsupported_media_type');
  try {
    const body = JSON.parse(text);
    if (body === null || typeof body !== 'object' || Array.isArray(body)) throw new TypeError('not an object');
    return body;
  } catch (cause) {
    throw new ApiError(400, 'invalid_json', { cause });
  }
}

/** A required text field of `body`, at most `max` bytes long. */
export function text(body, field, max) {
  const value = typeof body[field] === 'string' ? body[field].trim() : '';
  if (value === '') throw new ApiError(400, 'missing_field', { field });
  if (Buffer.byteLength(value) > max) throw new ApiError(400, 'invalid_field', { field });
  return value;
}

/** The page of the front end where a sign-in continues: a path, or undefined. */
export function returnTo(body) {
  if (body.returnTo === undefined) return undefined;
  const value = text(body, 'returnTo', 512);
  if (!/^\/(?![/\\])/.test(value)) throw new ApiError(400, 'invalid_field', { field: 'returnTo' });
  return value;
}

/** The email address of `body`, its domain in lower case. */
export function email(body) {
  const value = text(body, 'email', 254);
  const at = value.lastIndexOf('@');
  if (!/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(value)) throw new ApiError(400, 'invalid_email', { field: 'email' });
  return value.slice(0, at + 1) + value.slice(at + 1).toLowerCase();
}

/** The cookie `name` of a payload 2.0 event; undefined if there are several. */
export function cookie(event, name) {
  const pairs = (event.cookies ?? []).flatMap((line) => line.split(';')).map((pair) => pair.replace(/^[ \t]+/, ''));
  const found = pairs.filter((pair) => pair.startsWith(`${name}=`));
  return found.length === 1 ? found[0].slice(name.length + 1) : undefined;
}

/** A browser's token of an address, behind a tag that tells which address it is for. */
export function tagged(token, address) {
  const hash = createHash('sha256').update(token).update(address.toLowerCase()).digest('base64url');
  return hash.slice(0, 6) + token.toString('base64url');
}

export function setCookie(name, value, maxAge) {
  return `${name}=${value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=${maxAge}`;
}

/** Refuses a request unless the authorizer's verdict is an explicit "signed in" with a whole identity. */
function check({ verdict, reason, userId, email, sessionId }) {
  if (verdict === 'unavailable') throw new ApiError(503, reason ?? 'store_unavailable', { retryAfter: 1 });
  if (verdict !== 'signed_in' || !userId || !email || !sessionId) throw new ApiError(401, 'not_signed_in');
}

/** Serves `handle({ body, event, client, caller })`, which returns `{ body, cookies }` or throws an ApiError. */
export function serve(route, handle, { isProtected = false } = {}) {
  return run(async (event, context) => {
    const started = Date.now();
    const respond = (statusCode, body, cookies = [], more = {}) => {
      log(statusCode >= 500 ? 'ERROR' : 'INFO', 'responded', {
        route, status: statusCode, reason: body.reason, duration_ms: Date.now() - started, function_request_id: context.awsRequestId,
      });
      const headers = { ...HEADERS, 'x-request-id': context.awsRequestId, ...more };
      return { statusCode, headers, cookies, body: JSON.stringify(body), isBase64Encoded: false };
    };
    try {
      const origin = event.headers?.origin;
      if (origin !== undefined && !allowedOrigins.includes(origin)) throw new ApiError(403, 'origin_not_allowed');
      const verdict = event.requestContext.authorizer?.lambda ?? {};
      if (isProtected) check(verdict);
      const { sourceIp, userAgent } = event.requestContext.http;
      const response = await handle({
        body: readBody(event),
        event,
        client: { ip: sourceIp, userAgent },
        caller: verdict,
      });
      return respond(200, response.body, response.cookies);
    } catch (error) {
      const { status = 500, reason = 'internal', field, retryAfter } = error instanceof ApiError ? error : {};
      if (status >= 500) log('ERROR', 'failed', { cause: String(error.cause ?? error) });
      const retryable = RETRYABLE.has(reason);
      const body = { code: status, message: MESSAGES[status], reason, retryable, field, requestId: context.awsRequestId };
      return respond(status, body, [], retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) });
    }
  });
}
