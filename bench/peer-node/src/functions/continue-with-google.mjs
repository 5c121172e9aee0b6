// POST /auth/continue-with-google

import { begin } from '../flow.mjs';
import { serve } from '../http.mjs';

serve('/auth/continue-with-google', async ({ event }) => {
  const { redirectURL, state, cookie } = begin(event, { provider: 'GoogleOAuth' });
  return { body: { authData: { redirectURL, state } }, cookies: [cookie] };
});
