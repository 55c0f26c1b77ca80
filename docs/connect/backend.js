// A complete bank core for the connector, in Node's standard library: node backend.js PORT
// A real core keeps `transfers` and the balances in its database, and does each step in one transaction.
"use strict";
const http = require("node:http");

const customers = { 255770001001: { name: "Amina Salim", balance: 10000000n } }; // balances in cents
const transfers = new Map(); // by the hub's transfer id: the reserved amount and the state

const cents = (text) => {
  const [whole, decimals = ""] = text.split(".");
  return BigInt(whole + decimals.padEnd(2, "0").slice(0, 2));
};

// GET /parties/MSISDN/{number}: the connector asks for the customer with this number.
function party(number) {
  const found = customers[number];
  return found ? [200, { displayName: found.name, supportedCurrencies: ["TZS"] }] : [404, {}];
}

// POST /quoterequests: the connector asks for the amount for the customer and for the bank's fee.
function terms(wanted) {
  if (wanted.currency !== "TZS") return [400, { statusCode: "5106", message: "accounts are in TZS" }];
  if (!customers[wanted.to.idValue]) return [404, { statusCode: "3204", message: "no such customer" }];
  return [200, { payeeReceiveAmount: wanted.amount, payeeFspFeeAmount: "0" }];
}

// POST /transfers: money will come. Answer 2xx only if the bank can credit the money later in any case.
function reserve(wanted) {
  const number = wanted.to.idValue;
  if (!customers[number]) return [404, { statusCode: "5107", message: "no such customer" }];
  if (!transfers.has(wanted.transferId)) transfers.set(wanted.transferId, { to: number, state: "RESERVED" });
  const known = transfers.get(wanted.transferId);
  return known.state === "ABORTED" ? [400, { statusCode: "5105", message: "it was aborted" }] : [200, {}];
}

// PUT /transfers/{id}: the hub has decided. The connector repeats the PUT until the answer is 2xx.
function end(transferId, said) {
  const known = transfers.get(transferId) ?? { to: said.to?.idValue, state: "RESERVED" };
  transfers.set(transferId, known);
  if (said.transferState === "COMMITTED" && known.state !== "COMMITTED") { // a message may come twice
    customers[known.to].balance += cents(said.payeeReceiveAmount);
    console.log(`credited ${said.payeeReceiveAmount} ${said.currency} to ${known.to}`);
  }
  known.state = said.transferState;
  return [200, {}];
}

function route(method, path, body) {
  const [, resource, second, third] = path.split("/");
  if (method === "GET" && resource === "parties") return second === "MSISDN" ? party(third) : [404, {}];
  if (method === "POST" && resource === "quoterequests") return terms(body);
  if (method === "POST" && resource === "transfers") return reserve(body);
  if (method === "PUT" && resource === "transfers") return end(second, body);
  return [404, {}];
}

http
  .createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      const text = Buffer.concat(parts).toString();
      const [status, body] = route(request.method, request.url, text ? JSON.parse(text) : {});
      response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
    });
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
