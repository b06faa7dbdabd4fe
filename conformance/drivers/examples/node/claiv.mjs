// A small SDK for the Claiv Memory API, written from specs/claiv.yaml. It needs Node 18 or newer
// and no packages. It is here to be driven by driver.mjs: an example of a client that keeps its
// contract. Nothing in it knows that it is being tested; waits go through `sleep`, as in any SDK
// whose authors test their own back-off.

import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import { brotliDecompressSync, gunzipSync, inflateSync } from "node:zlib";

export class ClaivError extends Error {
  get name() { return this.constructor.name; }
}
export class ClaivTimeoutError extends ClaivError {}
export class ClaivNetworkError extends ClaivError {}
export class ClaivApiError extends ClaivError {
  constructor(message, { status, code = null, request_id = null, details = null } = {}) {
    super(message);
    Object.assign(this, { status, code, request_id, details });
  }
}

const LONGEST = 64 * 2 ** 20; // bytes of an answer that are read
const LONGEST_WAIT = 86400; // seconds that a server may ask for; beyond it the call fails

// One segment of a path: URLs take "." and ".." away, and an empty one names nothing.
function segment(id) {
  if (["", ".", ".."].includes(id)) throw new ClaivError(`${JSON.stringify(id)} is no id`);
  return encodeURIComponent(id);
}

export class ClaivClient {
  #key; #base; #timeout; #retries; #sleep; #agent; #closed = false;

  constructor({ apiKey, baseUrl = "https://api.claiv.io", timeout = 30, maxRetries = 2, sleep = wait }) {
    if (!apiKey) throw new ClaivError("an API key is needed");
    this.#key = apiKey;
    this.#base = baseUrl.replace(/\/+$/, "");
    this.#timeout = timeout;
    this.#retries = maxRetries;
    this.#sleep = sleep;
    const { Agent } = this.#base.startsWith("https:") ? https : http;
    this.#agent = new Agent({ keepAlive: true });
  }

  ingest(event) { return this.#send("POST", "/v1/ingest", { body: event }); }
  recall(request) { return this.#send("POST", "/v1/recall", { body: request }); }
  forget(request) { return this.#send("POST", "/v1/forget", { body: request }); }
  recall_v2(request) { return this.#send("POST", "/v2/recall", { body: request }); }
  forget_v2(request) { return this.#send("POST", "/v2/forget", { body: request }); }
  get_usage_summary(range) { return this.#send("GET", "/v1/usage/summary", { query: { range } }); }
  get_usage_breakdown(range) { return this.#send("GET", "/v1/usage/breakdown", { query: { range } }); }
  get_usage_limits() { return this.#send("GET", "/v1/usage/limits"); }
  health_check() { return this.#send("GET", "/healthz", { open: true }); }
  list_deletion_receipts(query) { return this.#send("GET", "/v1/deletion-receipts", { query }); }
  get_deletion_receipt(id) {
    return this.#send("GET", `/v1/deletion-receipts/${segment(id)}`);
  }

  close() {
    this.#closed = true;
    this.#agent.destroy();
  }
  async [Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose")]() { this.close(); }

  async #send(method, path, { body, query, open = false } = {}) {
    if (this.#closed) throw new ClaivError("the client is closed");
    const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined);
    const url = this.#base + path + (given.length ? `?${new URLSearchParams(given)}` : "");
    const headers = { accept: "application/json" };
    if (!open) headers.authorization = `Bearer ${this.#key}`;
    const sent = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    if (sent) Object.assign(headers, { "content-type": "application/json", "content-length": sent.length });
    for (let attempt = 0; ; attempt++) {
      const answer = await this.#once(url, { method, headers, body: sent });
      if (answer.status >= 200 && answer.status < 300) return decoded(answer);
      const error = failed(answer, this.#key);
      const again = answer.status === 429 || (answer.status >= 500 && answer.status < 600);
      const wish = wished(answer, error.details);
      if (!again || attempt >= this.#retries || wish > LONGEST_WAIT) throw error;
      await this.#sleep(wish === undefined ? backoff(attempt) : spread(wish));
    }
  }

  async #once(url, { method, headers, body }) {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), this.#timeout * 1000);
    try {
      const { request } = url.startsWith("https:") ? https : http;
      const outgoing = request(url, { method, headers, agent: this.#agent, signal: abort.signal });
      const responded = once(outgoing, "response");
      outgoing.on("upgrade", () => outgoing.emit("error", new Error("the server changed protocols")));
      outgoing.end(body);
      const [incoming] = await responded;
      const pieces = [];
      let length = 0;
      for await (const piece of incoming) {
        pieces.push(piece);
        if ((length += piece.length) > LONGEST) throw new ClaivError("the answer is too long");
      }
      const unpacked = unpack(Buffer.concat(pieces), incoming.headers["content-encoding"]);
      return { status: incoming.statusCode, headers: incoming.headers, body: unpacked };
    } catch (cause) {
      if (cause instanceof ClaivError) throw cause;
      if (abort.signal.aborted) throw new ClaivTimeoutError("the request timed out", { cause });
      throw new ClaivNetworkError(`the request failed: ${cause.code ?? cause.message}`, { cause });
    } finally {
      clearTimeout(timer);
    }
  }
}

function unpack(body, coding) {
  const decode = { gzip: gunzipSync, deflate: inflateSync, br: brotliDecompressSync }[coding];
  return decode ? decode(body, { maxOutputLength: LONGEST }) : body;
}

function wait(seconds) { return new Promise((done) => setTimeout(done, seconds * 1000)); }

function backoff(attempt) {
  const centre = 0.5 * 2 ** attempt;
  if (centre >= 30) return 30 * (1 - Math.random() / 4); // at the longest wait, still not all at once
  return Math.min(30, centre * (1 + Math.random() / 2));
}

// Clients that were told the same do not all come back at once.
function spread(wish) { return wish + Math.min(5, wish / 10) * Math.random(); }

// Seconds that the server asks to wait: Retry-After as seconds or date, or the same in the body.
function wished({ headers }, details) {
  const said = headers["retry-after"]?.trim();
  if (said === undefined) {
    const inside = details?.retry_after;
    return Number.isFinite(inside) && inside >= 0 ? inside : undefined;
  }
  if (/^[0-9]+$/.test(said)) return Number(said);
  if (!/^[A-Z][a-z]{2,8},? .*[0-9]{2}:[0-9]{2}:[0-9]{2}/.test(said)) return undefined;
  const date = Date.parse(said.endsWith("GMT") ? said : `${said} GMT`);
  return Number.isNaN(date) ? undefined : Math.max(0, (date - Date.now()) / 1000);
}

function parsed(bytes) {
  return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
}

function decoded({ status, body }) {
  if (status === 204 || body.length === 0) return null;
  let value;
  try {
    value = parsed(body);
  } catch (cause) {
    throw new ClaivError(`${status} with a body that is not JSON`, { cause });
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new ClaivError(`${status} with a JSON body that is no object`);
  }
  return value;
}

function failed({ status, body }, key) {
  let said;
  try {
    said = parsed(body).error;
  } catch {
    said = undefined;
  }
  const { code = null, message, request_id = null, details = null } = said ?? {};
  const text = typeof message === "string" ? message.slice(0, 500).replaceAll(key, "***") : "";
  return new ClaivApiError(`${status}: ${text || "the server refused"}`, { status, code, request_id, details });
}
