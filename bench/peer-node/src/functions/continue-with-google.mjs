// POST /auth/continue-with-google

import { begin } from '../flow.mjs';
import { returnTo, serve } from '../http.mjs';

serve('/auth/continue-with-google', async ({ body, event }) => {
  const { redirectURL, state, cookie } = begin(event, { provider: 'GoogleOAuth' }, returnTo(body));
  return { body: { authData: { redirectURL, state } }, cookies: [cookie] };
});
