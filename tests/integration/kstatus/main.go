// Command kstatus prints what kstatus, as kubectl's and Flux's waiting use it, makes of each object on standard input.
package main

import (
	"encoding/json"
	"io"
	"log"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	var lines []json.RawMessage
	if err := json.Unmarshal(input, &lines); err != nil {
		log.Fatal(err)
	}
	output := json.NewEncoder(os.Stdout)
	for _, line := range lines {
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(line); err != nil {
			log.Fatal(err)
		}
		result, err := status.Compute(object)
		if err != nil {
			log.Fatal(err)
		}
		if err := output.Encode(map[string]string{"status": string(result.Status), "message": result.Message}); err != nil {
			log.Fatal(err)
		}
	}
}
