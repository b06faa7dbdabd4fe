// A driver for the SDK in claiv.mjs: it speaks the protocol of ../../PROTOCOL.md over standard input
// and output. To drive another SDK, change `OPERATIONS`, `construct` and what is said in `hello`.
//   node driver.mjs [--time-scale 0.001]     real seconds that one second of back-off takes
import { createInterface } from "node:readline";
import * as sdk from "./claiv.mjs";

const API = "claiv";
const scale = Number(process.argv[process.argv.indexOf("--time-scale") + 1]) || 0.001;
const LONGEST = 0.01; // real seconds that one wait takes at most, however long the SDK asked for

// operation of the contract -> documented name, and how flat arguments become a call
const OPERATIONS = {
  ingest: ["ingest", (client, given) => client.ingest(given)],
  recall: ["recall", (client, given) => client.recall(given)],
  forget: ["forget", (client, given) => client.forget(given)],
  "usage.summary": ["get_usage_summary", (client, { range }) => client.get_usage_summary(range)],
  "usage.breakdown": ["get_usage_breakdown", (client, { range }) => client.get_usage_breakdown(range)],
  "usage.limits": ["get_usage_limits", (client) => client.get_usage_limits()],
  health: ["health_check", (client) => client.health_check()],
  "receipts.list": ["list_deletion_receipts", (client, given) => client.list_deletion_receipts(given)],
  "receipts.get": ["get_deletion_receipt", (client, given) => client.get_deletion_receipt(given.receipt_id)],
  recall_v2: ["recall_v2", (client, given) => client.recall_v2(given)],
  forget_v2: ["forget_v2", (client, given) => client.forget_v2(given)],
};
const clients = new Map(); // name -> { client, sleeps }
const now = () => Number(process.hrtime.bigint()) / 1e9;
function construct({ base_url, api_key, options = {} }) {
  const sleeps = [];
  const sleep = async (seconds) => {
    sleeps.push({ at: now(), seconds });
    await new Promise((done) => setTimeout(done, Math.min(LONGEST, seconds * scale) * 1000));
  };
  const { timeout, "max-retries": maxRetries } = options;
  const given = { apiKey: api_key, baseUrl: base_url, sleep, timeout, maxRetries };
  return { client: new sdk.ClaivClient(given), sleeps };
}

// names of the classes that a class extends, nearest first
function bases(made) {
  const above = Object.getPrototypeOf(made);
  return above?.name ? [above.name, ...bases(above)] : [];
}

function told(error) {
  const cause = error.cause?.constructor.name ?? null;
  return { kind: "error", error: {
    name: error.constructor.name, bases: bases(error.constructor),
    module: error instanceof sdk.ClaivError ? API : "builtins",
    message: error.message, text: String(error), representation: error.stack?.split("\n")[0] ?? "",
    attributes: JSON.parse(JSON.stringify({ ...error })), cause, causes: cause ? [cause] : [],
  } };
}

async function call(name, { operation, arguments: given = {} }) {
  const { client, sleeps } = clients.get(name);
  const [started, first] = [now(), sleeps.length];
  let outcome = { kind: "unsupported", detail: "no such operation" };
  try {
    const [, run] = OPERATIONS[operation] ?? [];
    if (run) outcome = { kind: "value", value: (await run(client, given)) ?? null };
  } catch (error) {
    outcome = told(error);
  }
  return { outcome, started, ended: now(), sleeps: sleeps.slice(first) };
}

// role -> parameter of the constructor
const OPTIONS = { "api-key": "apiKey", "base-url": "baseUrl", timeout: "timeout", "max-retries": "maxRetries" };
const mapped = (entries, made) => Object.fromEntries(entries.map(([key, value]) => [key, made(value)]));
const HANDLERS = {
  hello: ({ exceptions = [] }) => ({
    reply: "hello", protocol: 1, driver: "node-example/1", api: API, language: "javascript",
    sdk: { name: "claiv-node-example", version: "1.0.0" }, clients: { async: "ClaivClient" },
    context_manager: ["async"],
    operations: mapped(Object.entries(OPERATIONS), ([name]) => ({ modes: ["async"], name })),
    options: mapped(Object.entries(OPTIONS), (name) => ({ modes: ["async"], name })),
    exceptions: mapped(exceptions.map((name) => [name, name]), (name) => (sdk[name]
      ? { found: `${API}.${name}`, exported: true, bases: bases(sdk[name]) }
      : { found: null, exported: false })),
    clock: "real", time_scale: scale, longest_wait: LONGEST, records_sleeps: true, cancels: false,
  }),
  open: (asked) => {
    let outcome = { kind: "value" };
    try {
      if (asked.mode === "async") clients.set(asked.client, construct(asked));
      else outcome = { kind: "unsupported", detail: "there is only an async client" };
    } catch (error) {
      outcome = told(error);
    }
    return { reply: "outcome", outcome };
  },
  call: async (asked) => ({ reply: "call", ...(await call(asked.client, asked)) }),
  calls: async ({ client, calls, concurrency = 1 }) => {
    const ended = [], todo = calls.entries();
    await Promise.all(Array.from({ length: concurrency }, async () => {
      for (const [n, one] of todo) ended[n] = await call(client, one);
    }));
    return { reply: "calls", calls: ended };
  },
  close: ({ client: name }) => {
    clients.get(name).client.close();
    clients.delete(name);
    return { reply: "outcome", outcome: { kind: "value" } };
  },
  stop: () => ({ reply: "stop" }),
};
for await (const line of createInterface({ input: process.stdin })) {
  let asked = {}, reply;
  try {
    asked = JSON.parse(line);
    if (asked.client && asked.do !== "open" && !clients.has(asked.client)) throw Error("no such client");
    reply = await HANDLERS[asked.do](asked);
  } catch (error) {
    reply = { reply: "problem", problem: String(error) };
  }
  process.stdout.write(`${JSON.stringify({ id: asked.id ?? 0, ...reply })}\n`);
  if (asked.do === "stop") process.exit();
}
