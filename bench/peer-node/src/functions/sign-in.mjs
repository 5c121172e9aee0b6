// POST /auth/sign-in

import { randomBytes } from 'node:crypto';
import { begin } from '../flow.mjs';
import { ApiError, email, returnTo, serve, setCookie, tagged } from '../http.mjs';
import { admit, pendingItem } from '../table.mjs';
import { workos } from '../workos.mjs';

const LIMITS = { perAddress: { max: 10, seconds: 600 }, perSource: { max: 120, seconds: 600 } };

const cache = new Map();

/** The active connection of an organization that owns the domain, cached for a minute. */
async function ssoConnection(domain) {
  const cached = cache.get(domain);
  if (cached !== undefined && Date.now() - cached.at < 60_000) return cached.connection;
  const [connections, organizations] = await Promise.all([
    workos.sso.listConnections({ domain }),
    workos.organizations.listOrganizations({ domains: [domain] }),
  ]);
  const owners = organizations.data
    .filter(({ domains }) => domains.some((each) => each.domain === domain && ['verified', 'legacy_verified'].includes(each.state)))
    .map(({ id }) => id);
  const connection = connections.data.find(({ state, organizationId }) => state === 'active' && owners.includes(organizationId));
  cache.set(domain, { at: Date.now(), connection });
  return connection;
}

serve('/auth/sign-in', async ({ body, event, client }) => {
  const address = email(body);
  const page = returnTo(body);
  const unavailable = (cause) => {
    throw cause instanceof ApiError ? cause : new ApiError(502, 'workos_unavailable', { cause });
  };
  const pending = randomBytes(32);
  await admit('sign-in', LIMITS, address, client, [pendingItem(pending)]);
  const [connection, users] = await Promise.all([
    ssoConnection(address.slice(address.lastIndexOf('@') + 1)),
    workos.userManagement.listUsers({ email: address }),
  ]).catch(unavailable);
  if (connection !== undefined) {
    const { redirectURL, state, cookie } = begin(event, { connectionId: connection.id, loginHint: address }, page);
    return { body: { authData: { authMethod: 'sso', redirectURL, state } }, cookies: [cookie] };
  }
  if (users.data.length > 0) {
    await workos.userManagement
      .createMagicAuth({ email: address, ipAddress: client.ip, userAgent: client.userAgent })
      .catch(unavailable);
  }
  const cookie = setCookie('__Host-pending', tagged(pending, address), 600);
  return { body: { authData: { authMethod: 'magic_auth' } }, cookies: [cookie] };
});
