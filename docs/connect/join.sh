#!/bin/sh
# Makes a participant at a hub for development, as the hub's operator does: sh join.sh NAME CALLBACK_URL [HUB_URL]
# docs/connect/participant.md explains each request. In production two people do this in the portal.
set -eu
name=$1 callback=$2 hub=${3:-http://127.0.0.1:8000}
api=$hub/api/ledger/v1/participants

post() {
    curl --silent --show-error --fail-with-body --output /dev/null -X POST "$1" -H 'Content-Type: application/json' -d "$2"
}

post "$api" "{\"name\": \"$name\", \"currency\": \"TZS\"}"
post "$api/$name/initialPositionAndLimits" \
    '{"currency": "TZS", "limit": {"type": "NET_DEBIT_CAP", "value": 1000000}, "initialPosition": 0}'
post "$api/$name/endpoints" "{\"type\": \"FSPIOP_CALLBACK_URL\", \"value\": \"$callback\"}"
settlement=$(curl --silent --fail "$api/$name/accounts" |
    tr '{' '\n' | sed -n 's/.*"id": *\([0-9]*\).*"ledgerAccountType": *"SETTLEMENT".*/\1/p')
transfer=$(cat /proc/sys/kernel/random/uuid 2>/dev/null || uuidgen | tr 'A-Z' 'a-z')
post "$api/$name/accounts/$settlement" "{\"transferId\": \"$transfer\", \"externalReference\": \"opening deposit\",
    \"action\": \"recordFundsIn\", \"reason\": \"liquidity cover\", \"amount\": {\"amount\": \"5000000\", \"currency\": \"TZS\"}}"
echo "$name is a participant of $hub, and the hub calls it at $callback"
