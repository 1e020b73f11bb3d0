// A receiver of webhooks that verifies each request with the official library, and its body with its JSON Schema.
//
// Usage: KITE_MODULES=<directory with node_modules> node webhooks.mjs
// Prints {port}. Then it wants one line of JSON, {secrets, schemas}, and prints one line for each POST: {id, seq, by, schema},
// where `by` has the index of each secret that verifies it, and `schema` what the schema finds wrong. Ends with its input.

import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import readline from "node:readline";

const require = createRequire(path.join(process.env.KITE_MODULES, "package.json"));
const { Webhook } = require("standardwebhooks");
const Ajv = require("ajv/dist/2020").default;
const addFormats = require("ajv-formats");

const ajv = new Ajv({ strict: true, allowUnionTypes: true });
addFormats(ajv);
let secrets = [];
let schemas = {};
let connections = 0;

function verifies(secret, body, headers) {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

function problems(message) {
  const schema = schemas[message.type];
  if (schema === undefined) return `no schema of ${message.type}`;
  const validate = ajv.getSchema(schema.$id) ?? ajv.compile(schema);
  return validate(message) ? null : ajv.errorsText(validate.errors);
}

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    response.end("ok");
    if (request.method !== "POST") return;
    const body = Buffer.concat(chunks).toString();
    const by = secrets.flatMap((secret, index) => (verifies(secret, body, request.headers) ? [index] : []));
    const message = JSON.parse(body);
    const line = { id: request.headers["webhook-id"], seq: message.seq, by, schema: problems(message), connections };
    console.log(JSON.stringify(line));
  });
});
server.on("connection", () => (connections += 1));
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => ({ secrets, schemas } = JSON.parse(line)))
  .on("close", () => process.exit(0));
