// Pays in two steps from Node: shows the payee and the fee, then confirms. node pay.js CONNECTOR PAYEE AMOUNT
// A real core holds the payer's money before the first call, and has its own id of the payment.
"use strict";
const [connector, payee, amount] = process.argv.slice(2);

async function call(method, path, body) {
  const response = await fetch(connector + path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const answer = await response.json();
  if (response.ok) return answer;
  // 400: nothing has begun. 409: the id is used for another payment, which goes on, so its money is never given back.
  throw new Error(`${response.status} ${answer.errorInformation.errorCode} ${answer.errorInformation.errorDescription}`);
}

async function main() {
  const { displayName, fspId } = await call("GET", `/parties/MSISDN/${payee}`);
  console.log(`${payee} is ${displayName} at ${fspId}`);
  const id = `node-${Date.now()}`;
  const order = {
    homeTransactionId: id,
    from: { idType: "MSISDN", idValue: "255770001001", displayName: "Amina Salim" },
    to: { idType: "MSISDN", idValue: payee },
    amount,
    currency: "TZS",
    confirm: false, // nothing is paid before /confirm
  };
  const offer = await call("POST", "/payments", order);
  if (offer.waitsFor !== "TERMS") throw new Error(`${offer.state} ${offer.errorCode} ${offer.errorDescription}`);
  console.log(`fee ${offer.payeeFspFeeAmount ?? "0"}, valid until ${offer.expirationDate}`);
  let paid = await call("POST", `/payments/${id}/confirm`);
  while (!paid.isEnded) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    paid = await call("GET", `/payments/${id}`); // it goes on: do not refund
  }
  console.log(`${paid.state} ${paid.transferAmount} TZS to ${paid.payeeName}`);
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
