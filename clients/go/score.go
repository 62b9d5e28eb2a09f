// Scores two candidates within a time budget; waits when the service says that waiting helps.
// Go 1.19 or newer: go run score.go http://127.0.0.1:8000
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const body = `{"member": {"text": "Data engineer. Skills: python, spark"},
 "candidates": [{"id": "near", "text": "Senior data engineer"}, {"id": "far", "text": "Pastry chef"}]}`

func score(ctx context.Context, url string) (int, string, error) {
	end, _ := ctx.Deadline()
	for {
		request, err := http.NewRequestWithContext(ctx, "POST", url, strings.NewReader(body))
		if err != nil {
			return 0, "", err
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("X-Deadline-Ms", strconv.FormatInt(1+time.Until(end).Milliseconds(), 10))
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, "", err
		}
		read, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		wait, missing := strconv.Atoi(answer.Header.Get("Retry-After"))
		helps := missing == nil && (answer.StatusCode == 503 || answer.StatusCode == 429)
		if !helps || time.Duration(wait)*time.Second >= time.Until(end) {
			return answer.StatusCode, string(read), err
		}
		time.Sleep(time.Duration(wait) * time.Second)
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	status, read, err := score(ctx, os.Args[1]+"/score")
	fmt.Println(status, read, err)
	if err != nil || status != 200 {
		os.Exit(1)
	}
}
