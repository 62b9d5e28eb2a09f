// Scores two candidates within a time budget; waits when the service says that waiting helps.
// Java 17 or newer: java Score.java http://127.0.0.1:8000
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;

public class Score {
    static final String BODY = """
        {"member": {"text": "Data engineer. Skills: python, spark"},
         "candidates": [{"id": "near", "text": "Senior data engineer"}, {"id": "far", "text": "Pastry chef"}]}""";

    public static void main(String[] args) throws Exception {
        var client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(1)).build();
        var answer = score(client, URI.create(args[0] + "/score"), Duration.ofSeconds(5));
        System.out.println(answer.statusCode() + " " + answer.body());
        if (answer.statusCode() != 200) System.exit(1);
    }

    static HttpResponse<String> score(HttpClient client, URI uri, Duration budget) throws Exception {
        long end = System.nanoTime() + budget.toNanos();
        while (true) {
            long left = Math.max(1, (end - System.nanoTime()) / 1_000_000);
            var request = HttpRequest.newBuilder(uri).timeout(Duration.ofMillis(left))
                .header("Content-Type", "application/json").header("X-Deadline-Ms", Long.toString(left))
                .POST(BodyPublishers.ofString(BODY)).build();
            var answer = client.send(request, BodyHandlers.ofString());
            var seconds = answer.headers().firstValue("Retry-After").filter(text -> text.matches("[0-9]{1,6}"));
            long wait = 1000 * seconds.map(Long::parseLong).orElse(-1L);
            boolean helps = answer.statusCode() == 503 || answer.statusCode() == 429;
            if (!helps || wait < 0 || wait >= (end - System.nanoTime()) / 1_000_000) return answer;
            Thread.sleep(wait);
        }
    }
}
