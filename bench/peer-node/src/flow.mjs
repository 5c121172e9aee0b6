// PKCE and state of a sign-in through the browser, bound to the browser by a cookie.

import { createHash, createHmac, randomBytes } from 'node:crypto';
import { cookie, setCookie } from './http.mjs';
import { clientId, workos } from './workos.mjs';

const COOKIE = '__Host-oauth';
const LIFETIME = 600;

/** Starts a flow with `selector` (`provider` or `connectionId`) that ends at the page `returnTo`, and returns its URL, state and cookie. */
export function begin(event, selector, returnTo) {
  const verifier = randomBytes(32).toString('base64url');
  const state = createHmac('sha256', verifier).update('authentication-api oauth state v1').digest('base64url');
  const now = Math.floor(Date.now() / 1000);
  const earlier = (cookie(event, COOKIE) ?? '').split('~').filter((flow) => now - Number(flow.split('.')[0]) < LIFETIME && flow !== '');
  const page = returnTo === undefined ? '' : `.${Buffer.from(returnTo).toString('base64url')}`;
  const flows = [`${now}.${verifier}${page}`, ...earlier].slice(0, 4);
  const redirectURL = workos.userManagement.getAuthorizationUrl({
    clientId,
    redirectUri: process.env.OAUTH_REDIRECT_URI,
    state,
    codeChallenge: createHash('sha256').update(verifier).digest('base64url'),
    codeChallengeMethod: 'S256',
    ...selector,
  });
  return { redirectURL, state, cookie: setCookie(COOKIE, flows.join('~'), LIFETIME) };
}
