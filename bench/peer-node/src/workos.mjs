// The client of the official WorkOS SDK.

import { WorkOS } from '@workos-inc/node';

const url = new URL(process.env.WORKOS_API_URL ?? 'https://api.workos.com');

export const clientId = process.env.WORKOS_CLIENT_ID;

export const workos = new WorkOS(process.env.WORKOS_API_KEY ?? 'unused', {
  clientId,
  apiHostname: url.hostname,
  https: url.protocol === 'https:',
  ...(url.port === '' ? {} : { port: Number(url.port) }),
});
