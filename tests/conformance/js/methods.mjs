// Calls every public method of the broker's JavaScript client once. Prints one JSON object: the methods that the client
// has, and how each was answered: "answered", or the type of its error.
//
// Usage: KITE_MODULES=<directory with node_modules> node methods.mjs REST_URL

import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.KITE_MODULES, "package.json"));
const { KiteConnect } = require("kiteconnect");
const root = process.argv[2];

const ORDER = {
  exchange: "NSE", tradingsymbol: "INFY", transaction_type: "BUY", quantity: 10, product: "MIS", order_type: "LIMIT",
  price: 1490,
};
const LEG = { ...ORDER, variety: "regular", trigger_price: 0 };
const GTT = {
  trigger_type: "single", exchange: "NSE", tradingsymbol: "INFY", trigger_values: [1600], last_price: 1500,
  orders: [{ transaction_type: "SELL", quantity: 1, product: "CNC", order_type: "LIMIT", price: 1600 }],
};
const SIP = { tradingsymbol: "INF846K01DP8", amount: 5000, instalments: 12, frequency: "monthly" };

const kite = new KiteConnect({ api_key: "simkey", root });
const answers = {};

// The client writes into what it is given, so it always gets a copy. It resolves some errors: they have a type too.
async function call(name, ...args) {
  const copies = args.map((value) => (typeof value === "object" && !(value instanceof Date) ? structuredClone(value) : value));
  try {
    const value = await kite[name](...copies);
    answers[name] = value?.error_type ?? "answered";
    return value;
  } catch (error) {
    answers[name] = error.error_type ?? `${error}`;
    return undefined;
  }
}

await call("getLoginURL");
await call("setSessionExpiryHook", () => {});
const session = await call("generateSession", "simreqtoken", "simsecret");
const renewed = await call("renewAccessToken", session.refresh_token, "simsecret");
await call("setAccessToken", renewed.access_token);

await call("getProfile");
await call("getMargins");
await call("getInstruments", "NSE");
await call("getQuote", ["NSE:INFY"]);
await call("getOHLC", ["NSE:INFY"]);
await call("getLTP", ["NSE:INFY"]);
await call("getHistoricalData", 408065, "day", new Date(Date.now() - 8 * 86_400_000), new Date());
await call("getHoldings");
await call("getAuctionInstruments");
await call("orderMargins", [LEG]);
await call("orderBasketMargins", [LEG]);
await call("getvirtualContractNote", [{ ...LEG, order_id: "1", average_price: 1500 }]);

const resting = (await call("placeOrder", "regular", ORDER)).order_id;
await call("modifyOrder", "regular", resting, { price: 1480 });
await call("cancelOrder", "regular", resting);
const cover = (await call("placeOrder", "co", { ...ORDER, trigger_price: 1450 })).order_id;
await call("exitOrder", "co", cover, {});
const filled = (await call("placeOrder", "regular", { ...ORDER, price: 1500 })).order_id;
await call("getOrders");
await call("getOrderHistory", filled);
await call("getTrades");
await call("getOrderTrades", filled);
await call("getPositions");
await call("convertPosition", { ...ORDER, position_type: "day", old_product: "MIS", new_product: "CNC" });

const trigger = (await call("placeGTT", GTT)).trigger_id;
await call("getGTTs");
await call("getGTT", trigger);
await call("modifyGTT", trigger, GTT);
await call("deleteGTT", trigger);

await call("getMFOrders");
await call("getMFSIPS");
await call("getMFHoldings");
await call("getMFInstruments");
await call("placeMFOrder", { tradingsymbol: SIP.tradingsymbol, transaction_type: "BUY", amount: 5000 });
await call("cancelMFOrder", "1");
await call("placeMFSIP", SIP);
await call("modifyMFSIP", "1", { amount: 6000 });
await call("cancelMFSIP", "1");

const signed = { order_id: filled, order_timestamp: "2026-07-06 10:00:00" };
const checksum = createHash("sha256").update(signed.order_id + signed.order_timestamp + "simsecret").digest("hex");
if (!(await call("validatePostback", { ...signed, checksum }, "simsecret"))) answers.validatePostback = "refused";

await call("invalidateRefreshToken", renewed.refresh_token);
await call("invalidateAccessToken", renewed.access_token);

// Private ones begin with an underscore, or are private by their types only: no caller uses them.
const INNER = /^(_|constructor$|request$|parse|transform|formatResponse$|createAxiosInstance$|session_expiry_hook$)/;
const own = Object.keys(kite).filter((name) => typeof kite[name] === "function" && name !== "requestInstance");
const methods = [...Object.getOwnPropertyNames(Object.getPrototypeOf(kite)), ...own].filter((name) => !INNER.test(name));
console.log(JSON.stringify({ methods, answers }));
