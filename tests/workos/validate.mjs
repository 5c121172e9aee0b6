// Validates responses against the WorkOS OpenAPI document (npm `@workos/openapi-spec`). Reads JSON from standard input:
// `[{method, path, status, headers, body}]`, with the body as text. With the method `EVENT`, the path is the name of an
// event and the body is the event. Prints `{problems, unused}`: per response what is
// wrong with it, or null, and the exceptions that no response needed.
//
// Stricter than the document's schemas, which allow undeclared fields: here every field must be declared. What WorkOS
// does beyond the document is in EXCEPTIONS, each with its source. An unused exception is an error too.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { parse } from 'yaml';

const AUTHENTICATE = 'post /user_management/authenticate';
const ERRORS = 'The reference shows these fields: https://workos.com/docs/reference/authkit/authentication-errors';
const PAGE = 'Browsers get a page here; the document describes the API response.';
const HOSTED = 'A page where a sign-in begins at WorkOS; the document describes the API only.';
const SDKS = 'The WorkOS SDKs read these fields of a 422; the document does not declare them everywhere.';
const LIMITS = 'The limit per minute (https://workos.com/docs/reference/rate-limits); the document has only the daily quota.';
const ROLES = 'The reference shows them: https://workos.com/docs/reference/authkit/organization-membership';

// An exception applies to an `operation`, a `status` and a `code` (the body's `code` or `error`). It allows `fields`
// that the document does not declare; without `fields`, it allows the whole response.
const EXCEPTIONS = [
  {
    operation: AUTHENTICATE, status: 403, code: 'organization_selection_required',
    fields: ['pending_authentication_token', 'user', 'organizations'], why: ERRORS,
  },
  {
    operation: AUTHENTICATE, status: 403, code: 'email_verification_required',
    fields: ['pending_authentication_token', 'email', 'email_verification_id'], why: ERRORS,
  },
  {
    operation: AUTHENTICATE, status: 403, code: 'mfa_enrollment',
    fields: ['pending_authentication_token', 'user'], why: ERRORS,
  },
  {
    operation: AUTHENTICATE, status: 403, code: 'mfa_challenge',
    fields: ['pending_authentication_token', 'user', 'authentication_factors'], why: ERRORS,
  },
  {
    operation: AUTHENTICATE, status: 400, code: 'organization_authentication_methods_required',
    fields: ['email', 'sso_connection_ids', 'auth_methods'], why: ERRORS,
  },
  { operation: '*', status: 422, fields: ['code', 'errors'], why: SDKS },
  { operation: 'get /user_management/organization_memberships', status: 200, fields: ['data.roles'], why: ROLES },
  { operation: 'post /user_management/organization_memberships', status: 201, fields: ['roles'], why: ROLES },
  { operation: 'put /user_management/organization_memberships/{id}/deactivate', status: 200, fields: ['roles'], why: ROLES },
  { operation: 'put /user_management/organization_memberships/{id}/reactivate', status: 200, fields: ['roles'], why: ROLES },
  { operation: 'get /user_management/organization_memberships/{id}', status: 200, fields: ['roles'], why: ROLES },
  { operation: 'put /user_management/organization_memberships/{id}', status: 200, fields: ['roles'], why: ROLES },
  {
    operation: 'put /user_management/users/{id}', status: 404,
    why: 'The same as for the other calls about one user; the document leaves it out for this one.',
  },
  { operation: '*', status: 401, why: 'The document leaves out the response to a missing API key.' },
  { operation: AUTHENTICATE, status: 429, code: 'too_many_requests', why: LIMITS },
  { operation: 'post /user_management/magic_auth', status: 429, code: 'too_many_requests', why: LIMITS },
  { operation: 'get /user_management/authorize', status: 200, why: PAGE },
  { operation: 'get /user_management/authorize', status: 400, why: PAGE },
  { operation: 'get /sso/authorize', status: 200, why: PAGE },
  { operation: 'get /sso/authorize', status: 400, why: PAGE },
  { operation: 'get /user_management/sessions/logout', status: 400, why: PAGE },
  { operation: 'get /invite', status: 302, why: HOSTED },
  { operation: 'get /impersonate', status: 302, why: HOSTED },
  { operation: 'get /idp', status: 302, why: HOSTED },
  {
    operation: 'post /user_management/sessions/revoke', status: 422, code: 'invalid_request_parameters',
    why: 'The same as for every other call without a required field; the document leaves it out for this one.',
  },
];

const document = parse(readFileSync(fileURLToPath(import.meta.resolve('@workos/openapi-spec/spec')), 'utf8'));
const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats(ajv);

const resolve = (node) =>
  node?.$ref ? resolve(node.$ref.slice(2).split('/').reduce((at, key) => at[key], document)) : node;

// The schemas of which one must match: `oneOf` and `anyOf` at the top level are split, so that a problem is about one
// of them.
const alternatives = (schema) => {
  const { oneOf, anyOf } = resolve(schema);
  return oneOf || anyOf ? (oneOf ?? anyOf).flatMap(alternatives) : [resolve(schema)];
};

// The schema without references, and closed: undeclared fields are not allowed.
const closed = (schema, part = false) => {
  if (Array.isArray(schema)) return schema.map((each) => closed(each, part));
  if (!schema || typeof schema !== 'object') return schema;
  const { properties, items, allOf, oneOf, anyOf, ...rest } = resolve(schema);
  const result = { ...rest };
  // The document lists some fields twice.
  if (rest.required) result.required = [...new Set(rest.required)];
  if (properties) {
    result.properties = Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, closed(each)]));
  }
  if (items) result.items = closed(items);
  // The parts of an `allOf` are closed as one.
  if (allOf) result.allOf = closed(allOf, true);
  if (oneOf) result.oneOf = closed(oneOf, part);
  if (anyOf) result.anyOf = closed(anyOf, part);
  const isObject = properties || allOf;
  if (isObject && !part && rest.additionalProperties === undefined) result.unevaluatedProperties = false;
  return result;
};

const compiled = new Map();
const validators = (key, schema) => {
  if (!compiled.has(key)) compiled.set(key, alternatives(schema).map((each) => ajv.compile(closed(each))));
  return compiled.get(key);
};

// The schemas of events, by name.
const events = new Map();
const collect = (schema) => {
  const name = schema.properties?.event?.const;
  if (name) events.set(name, schema);
  (schema.allOf ?? schema.oneOf ?? []).forEach(collect);
};
collect(document.components.schemas.EventSchema);

// An event as the body of a request that WorkOS sends.
const eventOf = ({ path }) => {
  const content = { 'application/json': { schema: events.get(path) } };
  return events.has(path) ? { name: `event ${path}`, responses: { 200: { content } } } : undefined;
};

// The operation that a request belongs to. Literal segments win over parameters.
const operationOf = ({ method, path }) => {
  const segments = path.split('/');
  const matches = (template) => {
    const parts = template.split('/');
    return parts.length === segments.length && parts.every((part, i) => part.startsWith('{') || part === segments[i]);
  };
  const parameters = (template) => template.split('{').length;
  const [template] = Object.keys(document.paths).filter(matches).sort((a, b) => parameters(a) - parameters(b));
  const operation = document.paths[template]?.[method.toLowerCase()];
  return operation && { name: `${method.toLowerCase()} ${template}`, responses: operation.responses };
};

const used = new Set();
const exceptionsFor = (operation, status, code) =>
  EXCEPTIONS.filter((each) =>
    [operation, '*'].includes(each.operation) && each.status === status && (each.code === undefined || each.code === code));

// The undeclared field that an error is about, for example `data.roles` for items of `data`.
const undeclared = ({ instancePath, params }) =>
  params.unevaluatedProperty &&
  [...instancePath.split('/').filter((part) => part && !/^\d+$/.test(part)), params.unevaluatedProperty].join('.');

// What is wrong with a response; undefined or an empty string if nothing is.
const problemOf = (response) => {
  const operation = response.method === 'EVENT' ? eventOf(response) : operationOf(response);
  const name = operation?.name ?? `${response.method.toLowerCase()} ${response.path}`;
  const isJson = response.headers['content-type']?.startsWith('application/json');
  let body = response.body;
  if (isJson) {
    try {
      body = JSON.parse(response.body);
    } catch {
      return 'the body is not JSON';
    }
  }
  const exceptions = exceptionsFor(name, response.status, body?.code ?? body?.error);
  const whole = exceptions.find((each) => !each.fields);
  if (whole) {
    used.add(whole);
    return undefined;
  }
  if (!operation) return `the document does not declare the ${response.method === 'EVENT' ? 'event' : 'endpoint'}`;
  const declared = resolve(operation.responses[response.status]);
  if (!declared) return 'the document does not declare the status';
  for (const [header, { schema }] of Object.entries(declared.headers ?? {})) {
    const value = response.headers[header.toLowerCase()];
    const [validate] = validators(`${name} ${response.status} ${header}`, schema);
    if (!validate(value)) return `header ${header} ${ajv.errorsText(validate.errors, { dataVar: '' })}`;
  }
  const schema = declared.content?.['application/json']?.schema;
  if (!schema) return response.body === '' ? undefined : 'the document declares no body';
  if (!isJson) return 'the document declares a JSON body';
  // Report the alternative with the fewest errors.
  const [nearest] = validators(`${name} ${response.status}`, schema)
    .map((validate) => (validate(body) ? [] : validate.errors))
    .sort((a, b) => a.length - b.length);
  const problems = nearest.filter((error) => {
    const exception = exceptions.find((each) => each.fields.includes(undeclared(error)));
    if (exception) used.add(exception);
    return !exception;
  });
  return problems
    .map((error) => `${error.instancePath || 'the body'} ${undeclared(error) ? `must not have ${undeclared(error)}` : error.message}`)
    .join('; ');
};

const problems = JSON.parse(readFileSync(0, 'utf8')).map((response) => problemOf(response) || null);
const unused = EXCEPTIONS.filter((each) => !used.has(each)).map(({ operation, status, code }) =>
  ['the exception for', operation, status, code, 'is unused'].filter(Boolean).join(' '));
process.stdout.write(JSON.stringify({ problems, unused }));
