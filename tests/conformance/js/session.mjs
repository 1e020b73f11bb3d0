// A scripted session of the broker's JavaScript client. Prints one JSON object with what it saw.
//
// Usage: KITE_MODULES=<directory with node_modules> node session.mjs REST_URL LIMITED_REST_URL
// LIMITED_REST_URL is a simulator that enforces its request limits.

import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.KITE_MODULES, "package.json"));
const { KiteConnect } = require("kiteconnect");
const [root, limitedRoot] = process.argv.slice(2);

const INFY = 408065;
const ORDER = {
  exchange: "NSE",
  tradingsymbol: "INFY",
  transaction_type: "BUY",
  quantity: 10,
  product: "MIS",
  order_type: "LIMIT",
  price: 1500,
};
const RESTING = { ...ORDER, price: 1490 };
const VARIETIES = {
  regular: RESTING,
  amo: RESTING,
  co: { ...RESTING, trigger_price: 1450 },
  iceberg: { ...RESTING, quantity: 1000, iceberg_legs: 5, iceberg_quantity: 200 },
  auction: { ...RESTING, transaction_type: "SELL", product: "CNC" },
};

const signedIn = (changes = {}) => new KiteConnect({ api_key: "simkey", access_token: "simtoken", root, ...changes });
const outcome = (promise) => promise.then((value) => ({ value }), (error) => ({ type: error.error_type, text: error.message }));
// The client writes `variety` and `order_id` into what it is given, so it always gets a copy.
const place = (kite, variety, params) => kite.placeOrder(variety, { ...params });

async function login() {
  const kite = new KiteConnect({ api_key: "simkey", root });
  const session = await kite.generateSession("simreqtoken", "simsecret");
  const profile = await kite.getProfile();
  return { user_id: profile.user_id, login_time: typeof session.login_time, token: session.access_token === kite.access_token };
}

async function reads(kite) {
  const instruments = await kite.getInstruments();
  const nse = await kite.getInstruments("NSE");
  const full = await kite.getQuote(["NSE:INFY", "NSE:NOSUCH"]);
  const day = 86_400_000;
  const past = (days) => new Date(Date.now() - days * day);
  const candles = await kite.getHistoricalData(INFY, "60minute", past(8), past(1), false, true); // a week has trading hours, whatever day it is
  return {
    margins: Object.keys(await kite.getMargins()).sort(),
    equity: (await kite.getMargins("equity")).available.cash,
    instruments: instruments.length,
    exchanges: [...new Set(nse.filter((row) => row.tradingsymbol).map((row) => row.exchange))], // the last line is empty
    infy: nse.find((row) => row.tradingsymbol === "INFY").instrument_token,
    quotes: Object.keys(full),
    depth: [full["NSE:INFY"].depth.buy.length, full["NSE:INFY"].depth.sell.length],
    ohlc: (await kite.getOHLC(["NSE:INFY"]))["NSE:INFY"].last_price,
    ltp: (await kite.getLTP(["NSE:INFY"]))["NSE:INFY"],
    candles: candles.length,
    dated: candles[0].date instanceof Date && candles.every((c) => c.low <= c.close && c.close <= c.high),
    holdings: Object.keys((await kite.getHoldings())[0]),
    auctions: (await kite.getAuctionInstruments()).map((row) => row.tradingsymbol),
  };
}

async function filledOrder(kite) {
  const { order_id: orderId } = await place(kite, "regular", { ...ORDER, tag: "OFFICIALJS" });
  const history = await kite.getOrderHistory(orderId);
  const [trade] = await kite.getOrderTrades(orderId);
  const order = (await kite.getOrders()).find((row) => row.order_id === orderId);
  const position = (await kite.getPositions()).net[0];
  const converted = await kite.convertPosition({
    exchange: "NSE", tradingsymbol: "INFY", transaction_type: "BUY", position_type: "day", quantity: 10,
    old_product: "MIS", new_product: "CNC",
  });
  return {
    id: typeof orderId,
    order: [order.status, order.tag, order.filled_quantity],
    time: order.order_timestamp instanceof Date,
    history: history.map((row) => row.status).slice(-2),
    trade: trade.quantity,
    same: (await kite.getTrades())[0].trade_id === trade.trade_id,
    position: position.quantity,
    converted,
  };
}

// Places, changes and ends one order of each variety; an answer that refuses the variety is kept as it is.
async function varieties(kite) {
  const seen = {};
  const [auction] = await kite.getAuctionInstruments();
  const { auction_number, exchange, tradingsymbol } = auction;
  Object.assign(VARIETIES.auction, { auction_number, exchange, tradingsymbol, price: auction.last_price });
  for (const [variety, params] of Object.entries(VARIETIES)) {
    const placed = await outcome(place(kite, variety, params));
    seen[variety] = { placed: placed.value ? "accepted" : placed };
    if (!placed.value) continue;
    await new Promise((done) => setTimeout(done, 50)); // what is checked after the answer has been checked
    const orderId = placed.value.order_id;
    const change = variety === "co" ? { trigger_price: 1440 } : { price: 1480 };
    if (variety !== "auction") seen[variety].modified = await outcome(kite.modifyOrder(variety, orderId, change));
    seen[variety].cancelled = await outcome(kite.cancelOrder(variety, orderId));
    seen[variety].status = (await kite.getOrders()).find((row) => row.order_id === orderId).status;
    seen[variety].again = await outcome(kite.cancelOrder(variety, orderId));
  }
  return seen;
}

async function marketProtection(kite) {
  const market = { ...ORDER, order_type: "MARKET", price: undefined };
  const bare = await outcome(place(kite, "regular", market));
  const protectedId = (await place(kite, "regular", { ...market, market_protection: -1 })).order_id;
  return { bare, status: (await kite.getOrders()).find((row) => row.order_id === protectedId).status };
}

async function margins(kite) {
  const leg = { ...ORDER, variety: "regular", trigger_price: 0 };
  const [order] = await kite.orderMargins([leg]);
  const basket = await kite.orderBasketMargins([leg, leg], false);
  const [note] = await kite.getvirtualContractNote([{ ...leg, order_id: "1", average_price: 1500 }]);
  return { order: order.total, basket: basket.final.total, charges: note.charges.total > 0 };
}

async function triggers(kite) {
  const params = {
    trigger_type: "single", exchange: "NSE", tradingsymbol: "INFY", trigger_values: [1400], last_price: 1500,
    orders: [{ transaction_type: "BUY", quantity: 1, product: "CNC", order_type: "LIMIT", price: 1400 }],
  };
  const placed = await outcome(kite.placeGTT(structuredClone(params)));
  if (!placed.value) return { placed };
  const id = placed.value.trigger_id;
  const read = await kite.getGTT(id);
  const modified = await kite.modifyGTT(id, { ...structuredClone(params), trigger_values: [1390] });
  const listed = (await kite.getGTTs()).some((row) => row.id === id);
  const deleted = await kite.deleteGTT(id);
  return { id: typeof id, type: read.type, status: read.status, same: modified.trigger_id === id, listed,
    deleted: deleted.trigger_id === id };
}

async function errors(kite) {
  const hooked = [];
  const dead = signedIn({ access_token: "dead" });
  dead.setSessionExpiryHook(() => hooked.push(true));
  const limited = signedIn({ root: limitedRoot });
  const burst = await Promise.all([1, 2, 3, 4].map(() => outcome(limited.getLTP(["NSE:INFY"]))));
  return {
    dead: await outcome(dead.getOrders()),
    hooked: hooked.length,
    input: await outcome(place(kite, "regular", { ...ORDER, price: undefined })),
    route: await outcome(signedIn({ root: `${root}/nowhere` }).getProfile()),
    variety: await outcome(place(kite, "nowhere", ORDER)),
    poor: await outcome(place(kite, "regular", { ...ORDER, product: "CNC", quantity: 1_000_000 })),
    limited: burst.find((seen) => seen.type !== undefined),
  };
}

const kite = signedIn();
const seen = {
  reads: await reads(kite),
  filled: await filledOrder(kite),
  varieties: await varieties(kite),
  protection: await marketProtection(kite),
  margins: await margins(kite),
  triggers: await triggers(kite),
  errors: await errors(kite),
  login: await login(),
};
console.log(JSON.stringify(seen));
