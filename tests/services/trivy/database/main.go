// Makes a vulnerability database for Trivy (schema 2) of the advisories in a YAML file: database ADVISORIES DIRECTORY
package main

import (
	"log"
	"os"
	"path/filepath"

	fixtures "github.com/aquasecurity/bolt-fixtures"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: database ADVISORIES DIRECTORY")
	}
	loader, err := fixtures.New(filepath.Join(os.Args[2], "trivy.db"), []string{os.Args[1]})
	if err == nil {
		err = loader.Load()
	}
	if err == nil {
		err = loader.Close()
	}
	if err != nil {
		log.Fatal(err)
	}
}
