// `mshare audit --listen`: an exporter. GET /metrics for Prometheus, / for the page, /audit.json for programs; each request reads the host anew, at most once a
// second.
import { createServer } from "node:http";
import { AuditError } from "../audit/audit.ts";
import { faultsBetween } from "../audit/faults.ts";
import { auditHtml } from "../audit/html.ts";
import { auditPrometheus } from "../audit/prometheus.ts";
import type { AuditResult } from "../audit/result.ts";

const LEAST_INTERVAL_MS = 1000;

/** Serves until the process ends. @throws AuditError if the address cannot be had. */
export async function serveAudit(at: { host: string; port: number }, audit: () => AuditResult): Promise<void> {
  let last: { result: AuditResult; time: number } | undefined;
  const current = (): AuditResult => {
    const now = performance.now();
    if (last !== undefined && now - last.time < LEAST_INTERVAL_MS) return last.result;
    const result = audit();
    const seconds = last === undefined ? 0 : (now - last.time) / 1000;
    const whole = last === undefined ? result : { ...result, faults: faultsBetween(last.result, result, seconds) };
    last = { result: whole, time: now };
    return whole;
  };
  const pages: Record<string, [type: string, body: (result: AuditResult) => string]> = {
    "/metrics": ["text/plain; version=0.0.4; charset=utf-8", auditPrometheus],
    "/": ["text/html; charset=utf-8", auditHtml],
    "/audit.json": ["application/json", (result) => JSON.stringify(result)],
  };
  const server = createServer((request, response) => {
    const page = pages[(request.url ?? "/").split("?")[0]];
    if (page === undefined || (request.method !== "GET" && request.method !== "HEAD")) {
      response
        .writeHead(page === undefined ? 404 : 405, { "content-type": "text/plain" })
        .end("mshare audit: /, /metrics, /audit.json\n");
      return;
    }
    try {
      const body = page[1](current());
      response.writeHead(200, { "content-type": page[0] }).end(request.method === "HEAD" ? undefined : body);
    } catch (error) {
      if (!(error instanceof AuditError)) throw error;
      response.writeHead(503, { "content-type": "text/plain" }).end(`mshare audit: ${error.message}\n`);
    }
  });
  await new Promise<void>((_resolve, reject) => {
    server.on("error", (error: NodeJS.ErrnoException) =>
      reject(new AuditError(`${at.host}:${at.port}: ${error.message}`)),
    );
    server.listen(at.port, at.host, () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : at.port;
      process.stderr.write(
        `mshare audit: metrics at http://${at.host.includes(":") ? `[${at.host}]` : at.host}:${port}/metrics\n`,
      );
    });
  });
}
