// A whole bank core for the connector, with nothing but the JDK (17 or later): java Backend.java PORT
// A real core keeps `transfers` and the balances in its database, and does each step in one transaction.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.math.BigDecimal;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.regex.*;

public class Backend {
    record Answer(int status, String body) {}

    static final Map<String, String> names = Map.of("255770001001", "Amina Salim");
    static final Map<String, BigDecimal> balances = new HashMap<>(Map.of("255770001001", new BigDecimal("100000")));
    static final Map<String, String> transfers = new HashMap<>(); // the state, by the hub's transfer id
    static final Answer OK = new Answer(200, "{}"), UNKNOWN = new Answer(404, "{}");

    static Answer no(int status, String code, String message) {
        return new Answer(status, "{\"statusCode\": \"%s\", \"message\": \"%s\"}".formatted(code, message));
    }

    /** GET /parties/MSISDN/{number}: the connector asks for the customer with this number. */
    static Answer party(String number) {
        String name = names.get(number);
        if (name == null) return UNKNOWN;
        return new Answer(200, "{\"displayName\": \"%s\", \"supportedCurrencies\": [\"TZS\"]}".formatted(name));
    }

    /** POST /quoterequests: the connector asks what the customer receives, and what the bank keeps. */
    static Answer terms(String wanted) {
        if (!"TZS".equals(field(wanted, "currency"))) return no(400, "5106", "accounts are in TZS");
        if (!names.containsKey(payee(wanted))) return no(404, "3204", "no such customer");
        String answer = "{\"payeeReceiveAmount\": \"%s\", \"payeeFspFeeAmount\": \"0\"}";
        return new Answer(200, answer.formatted(field(wanted, "amount")));
    }

    /** POST /transfers: money will come. Answer 2xx only if it can be credited later, whatever happens. */
    static Answer reserve(String wanted) {
        if (!names.containsKey(payee(wanted))) return no(404, "5107", "no such customer");
        String state = transfers.computeIfAbsent(field(wanted, "transferId"), id -> "RESERVED");
        return state.equals("ABORTED") ? no(400, "5105", "it was aborted") : OK;
    }

    /** PUT /transfers/{id}: the hub has decided. The connector repeats this until the answer is 2xx. */
    static Answer end(String transferId, String said) {
        String state = field(said, "transferState"), before = transfers.put(transferId, state);
        if (state.equals("COMMITTED") && !state.equals(before)) { // the same message may come twice
            String amount = field(said, "payeeReceiveAmount");
            balances.merge(payee(said), new BigDecimal(amount), BigDecimal::add);
            System.out.printf("credited %s %s to %s%n", amount, field(said, "currency"), payee(said));
        }
        return OK;
    }

    // A real core reads JSON with a library. In these bodies the first field of a name is the wanted one, and quotes
    // within a text are escaped, so that no text of a payer looks like a field.
    static String field(String json, String name) {
        return first("\"" + name + "\"\\s*:\\s*\"([^\"\\\\]*)\"", json);
    }

    static String payee(String json) {
        return first("\"to\"\\s*:\\s*\\{[^{}]*?\"idValue\"\\s*:\\s*\"([^\"\\\\]*)\"", json);
    }

    static String first(String pattern, String json) {
        Matcher found = Pattern.compile(pattern).matcher(json);
        return found.find() ? found.group(1) : "";
    }

    static synchronized Answer route(String call, String[] path, String body) {
        return switch (call) {
            case "GET parties" -> path.length == 4 && path[2].equals("MSISDN") ? party(path[3]) : UNKNOWN;
            case "POST quoterequests" -> terms(body);
            case "POST transfers" -> reserve(body);
            case "PUT transfers" -> end(path[2], body);
            default -> UNKNOWN;
        };
    }

    static void handle(HttpExchange exchange) throws IOException {
        String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
        String[] path = exchange.getRequestURI().getPath().split("/");
        Answer answer = route(exchange.getRequestMethod() + " " + (path.length > 1 ? path[1] : ""), path, body);
        byte[] raw = answer.body().getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        exchange.sendResponseHeaders(answer.status(), raw.length);
        exchange.getResponseBody().write(raw);
        exchange.close();
    }

    public static void main(String[] arguments) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), 0);
        server.createContext("/", Backend::handle);
        server.start();
    }
}
