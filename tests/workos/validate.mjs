// Validates answers against WorkOS' OpenAPI document (npm `@workos/openapi-spec`). Reads `[{method, path, status, headers,
// body}]` as JSON, the body as text; prints `{problems, idle}`: what is wrong with each answer, or null, and which
// exceptions none of them needed.
//
// Stricter than the document's schemas: they allow fields that they do not name, and here every field must be named.
// What WorkOS does beyond the document is in EXCEPTIONS, each with its source, and one that nothing needs is a finding.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { parse } from 'yaml';

const AUTHENTICATE = 'post /user_management/authenticate';
const ERRORS = 'The reference shows these fields: https://workos.com/docs/reference/authkit/authentication-errors';
const PAGE = 'WorkOS shows a page to the browser here; the document describes what calls get.';
const SDKS = 'The SDKs of WorkOS read these fields of a 422; the document does not name them everywhere.';
const LIMITS = 'The limit per minute (https://workos.com/docs/reference/rate-limits); the document has the daily quota only.';
const ROLES = 'The reference shows them: https://workos.com/docs/reference/authkit/organization-membership';

// `operation` and `status` say where, `word` is the body's `code` or `error`. `fields` may be there as well; without them
// the answer as a whole is none of the document's.
const EXCEPTIONS = [
  {
    operation: AUTHENTICATE, status: 403, word: 'organization_selection_required',
    fields: ['pending_authentication_token', 'user', 'organizations'], why: ERRORS,
  },
  {
    operation: AUTHENTICATE, status: 403, word: 'email_verification_required',
    fields: ['pending_authentication_token', 'email', 'email_verification_id'], why: ERRORS,
  },
  {
    operation: AUTHENTICATE, status: 403, word: 'mfa_enrollment',
    fields: ['pending_authentication_token', 'user'], why: ERRORS,
  },
  {
    operation: AUTHENTICATE, status: 403, word: 'mfa_challenge',
    fields: ['pending_authentication_token', 'user', 'authentication_factors'], why: ERRORS,
  },
  {
    operation: AUTHENTICATE, status: 400, word: 'organization_authentication_methods_required',
    fields: ['email', 'sso_connection_ids', 'auth_methods'], why: ERRORS,
  },
  { operation: '*', status: 422, fields: ['code', 'errors'], why: SDKS },
  { operation: 'get /user_management/organization_memberships', status: 200, fields: ['data.roles'], why: ROLES },
  { operation: 'post /user_management/organization_memberships', status: 201, fields: ['roles'], why: ROLES },
  { operation: 'put /user_management/organization_memberships/{id}/deactivate', status: 200, fields: ['roles'], why: ROLES },
  { operation: '*', status: 401, why: 'The document leaves out what a missing API key is answered with.' },
  { operation: AUTHENTICATE, status: 429, word: 'too_many_requests', why: LIMITS },
  { operation: 'post /user_management/magic_auth', status: 429, word: 'too_many_requests', why: LIMITS },
  { operation: 'get /user_management/authorize', status: 200, why: PAGE },
  { operation: 'get /user_management/authorize', status: 400, why: PAGE },
  { operation: 'get /sso/authorize', status: 200, why: PAGE },
  { operation: 'get /sso/authorize', status: 400, why: PAGE },
  { operation: 'get /user_management/sessions/logout', status: 400, why: PAGE },
  {
    operation: 'post /user_management/sessions/revoke', status: 422, word: 'invalid_request_parameters',
    why: 'As every other call without a required field; the document leaves it out for this one.',
  },
];

const document = parse(readFileSync(fileURLToPath(import.meta.resolve('@workos/openapi-spec/spec')), 'utf8'));
const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats(ajv);

const resolve = (node) =>
  node?.$ref ? resolve(node.$ref.slice(2).split('/').reduce((at, key) => at[key], document)) : node;

// The schemas of which one must fit: `oneOf` and `anyOf` at the top, taken apart so that a finding is about one of them.
const alternatives = (schema) => {
  const { oneOf, anyOf } = resolve(schema);
  return oneOf || anyOf ? (oneOf ?? anyOf).flatMap(alternatives) : [resolve(schema)];
};

// The schema without references, and closed: what it does not name must not be there.
const closed = (schema, part = false) => {
  if (Array.isArray(schema)) return schema.map((each) => closed(each, part));
  if (!schema || typeof schema !== 'object') return schema;
  const { properties, items, allOf, oneOf, anyOf, ...rest } = resolve(schema);
  const result = { ...rest };
  // The document names some fields twice.
  if (rest.required) result.required = [...new Set(rest.required)];
  if (properties) {
    result.properties = Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, closed(each)]));
  }
  if (items) result.items = closed(items);
  // Parts of a whole are closed together.
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

// The operation that a request belongs to. Literal segments win over parameters.
const operationOf = ({ method, path }) => {
  const segments = path.split('/');
  const fits = (template) => {
    const parts = template.split('/');
    return parts.length === segments.length && parts.every((part, i) => part.startsWith('{') || part === segments[i]);
  };
  const parameters = (template) => template.split('{').length;
  const [template] = Object.keys(document.paths).filter(fits).sort((a, b) => parameters(a) - parameters(b));
  const operation = document.paths[template]?.[method.toLowerCase()];
  return operation && { name: `${method.toLowerCase()} ${template}`, responses: operation.responses };
};

const used = new Set();
const exceptionsOf = (operation, status, word) =>
  EXCEPTIONS.filter((each) =>
    [operation, '*'].includes(each.operation) && each.status === status && (each.word === undefined || each.word === word));

// The name of a field that the schema does not name, e.g. `data.roles` in the items of `data`.
const unnamed = ({ instancePath, params }) =>
  params.unevaluatedProperty &&
  [...instancePath.split('/').filter((part) => part && !/^\d+$/.test(part)), params.unevaluatedProperty].join('.');

// What is wrong with an answer; nothing or an empty text where it is sound.
const judge = (answer) => {
  const operation = operationOf(answer);
  const name = operation?.name ?? `${answer.method.toLowerCase()} ${answer.path}`;
  const isJson = answer.headers['content-type']?.startsWith('application/json');
  let body = answer.body;
  if (isJson) {
    try {
      body = JSON.parse(answer.body);
    } catch {
      return 'the body is no JSON';
    }
  }
  const exceptions = exceptionsOf(name, answer.status, body?.code ?? body?.error);
  const whole = exceptions.find((each) => !each.fields);
  if (whole) {
    used.add(whole);
    return undefined;
  }
  if (!operation) return 'the document does not know the endpoint';
  const response = resolve(operation.responses[answer.status]);
  if (!response) return 'the document does not know the status';
  for (const [header, { schema }] of Object.entries(response.headers ?? {})) {
    const value = answer.headers[header.toLowerCase()];
    const [validate] = validators(`${name} ${answer.status} ${header}`, schema);
    if (!validate(value)) return `header ${header} ${ajv.errorsText(validate.errors, { dataVar: '' })}`;
  }
  const schema = response.content?.['application/json']?.schema;
  if (!schema) return answer.body === '' ? undefined : 'the document shows no body';
  if (!isJson) return 'the document shows a JSON body';
  // The nearest alternative is the one that finds least.
  const [nearest] = validators(`${name} ${answer.status}`, schema)
    .map((validate) => (validate(body) ? [] : validate.errors))
    .sort((a, b) => a.length - b.length);
  const problems = nearest.filter((error) => {
    const exception = exceptions.find((each) => each.fields.includes(unnamed(error)));
    if (exception) used.add(exception);
    return !exception;
  });
  return problems
    .map((error) => `${error.instancePath || 'the body'} ${unnamed(error) ? `must not have ${unnamed(error)}` : error.message}`)
    .join('; ');
};

const problems = JSON.parse(readFileSync(0, 'utf8')).map((answer) => judge(answer) || null);
const idle = EXCEPTIONS.filter((each) => !used.has(each)).map(({ operation, status, word }) =>
  ['the exception for', operation, status, word, 'is not needed'].filter(Boolean).join(' '));
process.stdout.write(JSON.stringify({ problems, idle }));
