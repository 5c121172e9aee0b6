// The DynamoDB table: sessions and rate limits.

import { DynamoDBClient, GetItemCommand, PutItemCommand, TransactWriteItemsCommand } from '@aws-sdk/client-dynamodb';
import { createHash } from 'node:crypto';
import { ApiError } from './http.mjs';

const TableName = process.env.SESSION_TABLE;

// One client per sandbox; the SDK keeps its connections alive.
const client = new DynamoDBClient({ endpoint: process.env.AWS_ENDPOINT_URL_DYNAMODB });

const sha256 = (value) => createHash('sha256').update(value).digest('base64url');

async function send(command) {
  try {
    return await client.send(command);
  } catch (cause) {
    throw new ApiError(503, 'store_unavailable', { cause });
  }
}

const pk = (token) => ({ S: `session#${sha256(token)}` });

/** Reads the session of a token (strongly consistent). */
export async function readSession(token) {
  const { Item } = await send(new GetItemCommand({ TableName, Key: { pk: pk(token) }, ConsistentRead: true }));
  return Item;
}

/** Writes a session under a token. */
export function writeSession(token, item) {
  return send(new PutItemCommand({ TableName, Item: { pk: pk(token), ...item } }));
}

function counter(scope, key, { max, seconds }) {
  const now = Math.floor(Date.now() / 1000);
  const end = (Math.floor(now / seconds) + 1) * seconds;
  const Update = {
    TableName,
    Key: { pk: { S: `limit#${scope}#${key}#${end}` } },
    UpdateExpression: 'ADD requests :one SET expires_at = :end',
    ConditionExpression: 'attribute_not_exists(requests) OR requests < :max',
    ExpressionAttributeValues: { ':one': { N: '1' }, ':end': { N: String(end) }, ':max': { N: String(max) } },
  };
  return { Update, retryAfter: end - now };
}

const expiry = (seconds) => ({ N: String(Math.floor(Date.now() / 1000) + seconds) });

/** The item of a browser that asked for a code. */
export const pendingItem = (token) => ({
  Put: { TableName, Item: { pk: { S: `code#${sha256(token)}` }, expires_at: expiry(750) } },
});

/** Remembers a browser that signed in. */
export function rememberDevice(token, seconds) {
  return send(new PutItemCommand({ TableName, Item: { pk: { S: `device#${sha256(token)}` }, expires_at: expiry(seconds) } }));
}

/** Counts a request against the limits per source IP and per email address, and writes `also`: all or nothing. */
export async function admit(scope, { perAddress, perSource }, address, { ip }, also = []) {
  const counters = [
    counter(scope, `source:${ip}`, perSource),
    counter(scope, `address:${sha256(address.toLowerCase())}`, perAddress),
  ];
  const TransactItems = [...counters.map(({ Update }) => ({ Update })), ...also];
  try {
    await client.send(new TransactWriteItemsCommand({ TransactItems }));
  } catch (cause) {
    const refused = cause.CancellationReasons?.findIndex(({ Code }) => Code === 'ConditionalCheckFailed') ?? -1;
    if (refused < 0) throw new ApiError(503, 'store_unavailable', { cause });
    throw new ApiError(429, 'rate_limited', { retryAfter: counters[refused].retryAfter });
  }
}
