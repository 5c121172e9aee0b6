// The Lambda authorizer.
//
// It checks a session as the product does on the warm path, which is what is compared. Refreshing an expired access token
// (election of one refresher, grace period) is left out, in the peer's favor.

import { cookie, log } from '../http.mjs';
import { run } from '../runtime.mjs';
import { readSession } from '../table.mjs';

const IDLE = Number(process.env.SESSION_IDLE_SECONDS ?? 604_800);
const ABSOLUTE = Number(process.env.SESSION_ABSOLUTE_SECONDS ?? 2_592_000);

function sessionToken(event) {
  const bearer = /^Bearer (.+)$/i.exec(event.headers?.authorization ?? '')?.[1];
  const token = Buffer.from(bearer ?? cookie(event, '__Host-session') ?? '', 'base64url');
  return token.length === 32 ? token : undefined;
}

run(async (event) => {
  const refused = { isAuthorized: true, context: { verdict: 'not_signed_in' } };
  const token = sessionToken(event);
  if (token === undefined) return refused;
  let item;
  try {
    item = await readSession(token);
  } catch (error) {
    log('ERROR', 'a session could not be checked', { cause: String(error.cause) });
    return { isAuthorized: true, context: { verdict: 'unavailable', reason: 'store_unavailable' } };
  }
  if (item === undefined) return refused;
  const now = Date.now() / 1000;
  const ends = Math.min(Number(item.last_seen_at.N) + IDLE, Number(item.created_at.N) + ABSOLUTE);
  // After a switch, the old session can be read for 30 seconds.
  const readable = item.replaced_by === undefined || now < Number(item.replaced_at.N) + 30;
  if (now >= ends || !readable) return refused;
  const permissions = item.permissions.L.map(({ S }) => S);
  return {
    isAuthorized: true,
    context: {
      verdict: 'signed_in',
      userId: item.user_id.S,
      email: item.email.S,
      organizationId: item.organization_id?.S,
      role: item.role?.S,
      ...(permissions.length > 0 ? { permissions } : {}),
      sessionId: item.workos_session_id.S,
      session: item.session_id?.S ?? item.pk.S.slice('session#'.length),
      authenticatedAt: Number((item.authenticated_at ?? item.created_at).N),
      firstName: item.first_name?.S,
      lastName: item.last_name?.S,
      avatarUrl: item.avatar_url?.S,
      organizationName: item.organization_name?.S,
      method: item.method?.S,
      createdAt: Number(item.created_at.N),
      expiresAt: ends,
    },
  };
});
