// The DynamoDB table: sessions and rate limits.

import { DynamoDBClient, GetItemCommand, PutItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
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

async function count(scope, key, { max, seconds }) {
  const now = Math.floor(Date.now() / 1000);
  const end = (Math.floor(now / seconds) + 1) * seconds;
  const { Attributes } = await send(new UpdateItemCommand({
    TableName,
    Key: { pk: { S: `limit#${scope}#${key}#${end}` } },
    UpdateExpression: 'ADD requests :one SET expires_at = :end',
    ExpressionAttributeValues: { ':one': { N: '1' }, ':end': { N: String(end) } },
    ReturnValues: 'ALL_NEW',
  }));
  if (Number(Attributes.requests.N) > max) throw new ApiError(429, 'rate_limited', { retryAfter: end - now });
}

/** Counts a request against the limits per email address and per source IP. */
export function admit(scope, { perAddress, perSource }, address, client) {
  return Promise.all([
    count(scope, `address:${sha256(address.toLowerCase())}`, perAddress),
    count(scope, `source:${client.ip}`, perSource),
  ]);
}
