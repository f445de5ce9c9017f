// Vercel's cron asks this with GET and `Authorization: Bearer $CRON_SECRET`; it starts a night on the
// Foreman that lives elsewhere. Variables: CRON_SECRET, FOREMAN_URL (with its base path),
// FOREMAN_API_TOKEN (an operator's), FOREMAN_REPOSITORY (owner/repo).
import { timingSafeEqual } from "node:crypto";

const same = (a, b) => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

export async function GET(request) {
  const { CRON_SECRET, FOREMAN_URL, FOREMAN_API_TOKEN, FOREMAN_REPOSITORY } = process.env;
  if (!CRON_SECRET || !FOREMAN_URL || !FOREMAN_API_TOKEN || !FOREMAN_REPOSITORY) {
    return Response.json({ error: "set CRON_SECRET, FOREMAN_URL, FOREMAN_API_TOKEN and FOREMAN_REPOSITORY" }, { status: 500 });
  }
  if (!same(request.headers.get("authorization") ?? "", `Bearer ${CRON_SECRET}`)) {
    return Response.json({ error: "this takes `Authorization: Bearer CRON_SECRET`" }, { status: 401 });
  }
  const [owner, repo] = FOREMAN_REPOSITORY.split("/");
  const day = new Date().toISOString().slice(0, 10);
  const answer = await fetch(`${FOREMAN_URL.replace(/\/$/, "")}/api/foreman/overnight`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${FOREMAN_API_TOKEN}`,
      "content-type": "application/json",
      // A cron that fires twice starts one night.
      "idempotency-key": `vercel-${FOREMAN_REPOSITORY}-${day}`,
    },
    body: JSON.stringify({ owner, repo }),
  });
  return new Response(await answer.text(), {
    status: answer.status,
    headers: { "content-type": "application/json" },
  });
}
