// One session of the broker's JavaScript ticker: three modes, an order update, a lost connection and a reconnect.
//
// Usage: KITE_MODULES=<directory with node_modules> node ticker.mjs REST_URL WS_URL; prints one JSON object.

import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.KITE_MODULES, "package.json"));
const { KiteConnect, KiteTicker } = require("kiteconnect");
const [root, wsRoot] = process.argv.slice(2);

const TOKENS = { ltp: 408065, quote: 738561, full: 256265 };
const DEADLINE_MS = 15_000;
const kite = new KiteConnect({ api_key: "simkey", access_token: "simtoken", root });
const ticker = new KiteTicker({ api_key: "simkey", access_token: "simtoken", root: `${wsRoot}/` });
const seen = { connects: 0, reconnects: 0, modes: {}, modesAfter: {}, order: null };

function finish() {
  console.log(JSON.stringify(seen));
  process.exit(0); // the client ends the process itself, with 1, when it may not reconnect
}

function onTicks(ticks) {
  const modes = seen.connects === 1 ? seen.modes : seen.modesAfter;
  for (const tick of ticks) modes[tick.instrument_token] = tick.mode;
  if (Object.entries(TOKENS).some(([mode, token]) => modes[token] !== mode)) return;
  if (seen.connects > 1) finish();
  if (seen.ordered) return;
  seen.ordered = true;
  kite.placeOrder("regular", {
    exchange: "NSE", tradingsymbol: "INFY", transaction_type: "BUY", quantity: 1, product: "MIS", order_type: "LIMIT",
    price: 1500, tag: "TICKERJS",
  });
}

ticker.on("connect", () => {
  seen.connects += 1;
  ticker.subscribe(Object.values(TOKENS));
  for (const [mode, token] of Object.entries(TOKENS)) ticker.setMode(mode, [token]);
});
ticker.on("ticks", onTicks);
ticker.on("order_update", (order) => {
  seen.order = { status: order.status, tag: order.tag };
  fetch(`${root}/_sim/faults`, { method: "POST", body: JSON.stringify({ kind: "ws_close", params: { code: 1006 } }) });
});
ticker.on("reconnect", () => { seen.reconnects += 1; });
ticker.autoReconnect(true, 5, 5);
setTimeout(finish, DEADLINE_MS);
ticker.connect();
