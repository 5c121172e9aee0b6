// POST /auth/finalize-magic-auth

import { createCipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { ApiError, email, serve, setCookie, tagged, text } from '../http.mjs';
import { admit, rememberDevice, writeSession } from '../table.mjs';
import { clientId, workos } from '../workos.mjs';

const LIMITS = { perAddress: { max: 5, seconds: 600 }, perSource: { max: 60, seconds: 600 } };
const IDLE = Number(process.env.SESSION_IDLE_SECONDS ?? 604_800);
const DEVICE = 90 * 86_400;
const ABSOLUTE = Number(process.env.SESSION_ABSOLUTE_SECONDS ?? 2_592_000);

const keys = createRemoteJWKSet(new URL(process.env.WORKOS_JWKS_URL ?? workos.userManagement.getJwksUrl(clientId)));
const issuer = process.env.WORKOS_ISSUERS?.split(',');

/** Seals the refresh token under a key derived from the session token. */
function seal(token, refreshToken) {
  const key = Buffer.from(hkdfSync('sha256', token, '', 'authentication-api refresh token v1', 32));
  const nonce = randomBytes(12);
  const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
  return Buffer.concat([nonce, cipher.update(refreshToken, 'utf8'), cipher.final(), cipher.getAuthTag()]);
}

const METHODS = { MagicAuth: 'magic_auth' };

const number = (value) => ({ N: String(value) });

const optional = (fields) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value).map(([name, value]) => [name, { S: value }]));

async function beginSession({ user, accessToken, refreshToken, authenticationMethod }) {
  const { payload } = await jwtVerify(accessToken, keys, { algorithms: ['RS256'], issuer });
  const token = randomBytes(32);
  const now = Math.floor(Date.now() / 1000);
  await writeSession(token, {
    user_id: { S: payload.sub },
    email: { S: user.email },
    workos_session_id: { S: payload.sid },
    permissions: { L: (payload.permissions ?? []).map((S) => ({ S })) },
    access_expires_at: number(payload.exp),
    sealed_refresh_token: { B: seal(token, refreshToken) },
    generation: number(0),
    created_at: number(now),
    last_seen_at: number(now),
    expires_at: number(now + Math.min(IDLE, ABSOLUTE)),
    ...(payload.org_id ? { organization_id: { S: payload.org_id } } : {}),
    ...(payload.role ? { role: { S: payload.role } } : {}),
    ...optional({
      method: METHODS[authenticationMethod],
      first_name: user.firstName,
      last_name: user.lastName,
      avatar_url: user.profilePictureUrl,
    }),
  });
  return setCookie('__Host-session', token.toString('base64url'), ABSOLUTE);
}

function refusal(error) {
  if (error instanceof ApiError) return error;
  const { rawData, status } = error;
  const code = rawData?.code ?? error.code ?? error.error;
  if (code === 'organization_selection_required') return undefined;
  if (status === 400 || /^(invalid|one_time)_/.test(code ?? '')) return new ApiError(400, 'code_rejected', { cause: error });
  return new ApiError(502, 'workos_unavailable', { cause: error });
}

serve('/auth/finalize-magic-auth', async ({ body, client }) => {
  const address = email(body);
  const code = text(body, 'code', 16);
  await admit('finalize-magic-auth', LIMITS, address, client);
  try {
    const [authentication] = await Promise.all([
      workos.userManagement.authenticateWithMagicAuth({
        clientId, email: address, code, ipAddress: client.ip, userAgent: client.userAgent,
      }),
      // Concurrent with the grant, so that the keys are cached when it returns. A failure surfaces at the verification.
      keys.fresh ? undefined : keys.reload().catch(() => undefined),
    ]);
    const { user } = authentication;
    const device = randomBytes(32);
    const [cookie] = await Promise.all([beginSession(authentication), rememberDevice(device, DEVICE)]);
    return {
      body: {
        status: 'signed_in',
        user: {
          id: user.id,
          email: user.email,
          firstName: user.firstName,
          lastName: user.lastName,
          avatarURL: user.profilePictureUrl,
        },
        organization: null,
      },
      cookies: [cookie, setCookie('__Host-device', tagged(device, address), DEVICE)],
    };
  } catch (error) {
    const refused = refusal(error);
    if (refused !== undefined) throw refused;
    const { user, organizations, pending_authentication_token: pendingAuthenticationToken } = error.rawData;
    const person = { id: user.id, email: user.email, pendingAuthenticationToken, organizations };
    return { body: { status: 'choose_organization', user: person } };
  }
});
