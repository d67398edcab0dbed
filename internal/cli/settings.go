package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// Names of the flags that every client command has.
const (
	flagServer  = "server"
	flagKey     = "key"
	flagKeyFile = "key-file"
	flagOutput  = "output"
)

// Variables that client commands read.
const (
	varServer    = "SIGNALBOX_SERVER"
	varKey       = "SIGNALBOX_KEY"
	varConfigDir = "XDG_CONFIG_HOME"
	varHome      = "HOME"
)

const (
	defaultServer = "http://127.0.0.1:8080"
	// localDir is where a gateway that was started here keeps its keys.
	localDir = ".signalbox"
	// maxKeyFile bounds what is read where a key should be.
	maxKeyFile = 4 << 10
)

// Files in localDir.
const (
	adminKeyFile = "admin.key"
	demoKeyFile  = "demo.key"
)

// clientFlags are the values of those flags.
type clientFlags struct {
	server, key, keyFile string
	cert                 certFiles
	output               output
}

func (f *clientFlags) add(flags *pflag.FlagSet) {
	f.output = outputTable
	flags.StringVar(&f.server, flagServer, "", "address of the gateway (SIGNALBOX_SERVER; default "+defaultServer+")")
	flags.StringVar(&f.key, flagKey, "", "key to call it with (SIGNALBOX_KEY); other users of this machine can see arguments")
	flags.StringVar(&f.keyFile, flagKeyFile, "", "file that holds the key")
	f.cert.add(flags)
	flags.VarP(&f.output, flagOutput, "o", "how results are printed: "+strings.Join(outputs(), ", "))
}

// settings say which gateway is called, and with what key.
type settings struct {
	server string
	key    string
	// keyFrom says where the key came from, for errors; withheld says of which key
	// that exists it was decided not to send it, and why.
	keyFrom, withheld string
	// tls has the certificate that the gateway is shown when it asks.
	tls *handshakes
	// warnings are for the user before anything is done.
	warnings []string
}

// fileSettings are those of the configuration file.
type fileSettings struct {
	Server  string `yaml:"server"`
	Key     string `yaml:"key"`
	KeyFile string `yaml:"key_file"`

	certFiles `yaml:",inline"`
}

// settings finds the gateway and the key. localKey is the file in .signalbox that is
// used when nothing else gives a key.
func (p *program) settings(localKey string) (settings, error) {
	path := p.configPath()
	file, warning, err := readFileSettings(path)
	if err != nil {
		return settings{}, err
	}
	s := settings{tls: &handshakes{}}
	if warning != "" {
		s.warnings = append(s.warnings, warning)
	}
	fileServer, err := serverURL(cmp.Or(file.Server, defaultServer))
	if err != nil {
		return settings{}, fmt.Errorf("%s: %w", path, err)
	}
	if s.server, err = serverURL(cmp.Or(p.flags.server, p.getenv(varServer), fileServer)); err != nil {
		return settings{}, err
	}

	switch {
	case p.flags.key != "":
		s.key, s.keyFrom = p.flags.key, "--"+flagKey
	case p.flags.keyFile != "":
		s.keyFrom = p.flags.keyFile
		s.key, err = s.readKeyFile(p.flags.keyFile)
	case p.getenv(varKey) != "":
		s.key, s.keyFrom = p.getenv(varKey), varKey
	case file.Key != "" || file.KeyFile != "":
		// A key belongs to the server it was written down for: it must not be sent
		// to another one because of one flag.
		if s.server != fileServer {
			s.withheld = fmt.Sprintf("the key in %s was not sent: it is for %s", path, fileServer)
			break
		}
		if file.Key != "" {
			s.key, s.keyFrom = file.Key, path
			break
		}
		s.keyFrom = besides(path, file.KeyFile, p.getenv(varHome))
		s.key, err = s.readKeyFile(s.keyFrom)
	}
	if err != nil {
		return settings{}, err
	}
	if err := p.useCertificate(&s, file, path, fileServer); err != nil {
		return settings{}, err
	}
	// Who gives a certificate calls by that, not by a key that happens to lie here.
	if s.key == "" && s.withheld == "" && s.tls.certificate == nil {
		if err := p.useLocalKey(&s, localKey); err != nil {
			return settings{}, err
		}
	}
	s.key = strings.TrimSpace(s.key)
	if strings.ContainsFunc(s.key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return settings{}, fmt.Errorf("the key of %s has characters that no header can carry", s.keyFrom)
	}
	return s, nil
}

// useLocalKey takes the key of a gateway that was started in this folder.
func (p *program) useLocalKey(s *settings, name string) error {
	path := filepath.Join(localDir, name)
	key, err := readKeyFile(filepath.Join(p.workDir, path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case !isLoopback(s.server):
		s.withheld = fmt.Sprintf("the key in %s was not sent: it is for a gateway on this machine", path)
		return nil
	case err != nil:
		return err
	}
	s.key, s.keyFrom = key, path
	return nil
}

// configPath is where the configuration file is; empty when there is no home.
func (p *program) configPath() string {
	if dir := p.getenv(varConfigDir); filepath.IsAbs(dir) {
		return filepath.Join(dir, "signalbox", "config.yaml")
	}
	if home := p.getenv(varHome); home != "" {
		return filepath.Join(home, ".config", "signalbox", "config.yaml")
	}
	return ""
}

func readFileSettings(path string) (fileSettings, string, error) {
	if path == "" {
		return fileSettings{}, "", nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fileSettings{}, "", nil
	}
	if err != nil {
		return fileSettings{}, "", fmt.Errorf("read configuration: %w", err)
	}
	var s fileSettings
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&s); err != nil && len(bytes.TrimSpace(text)) > 0 {
		return fileSettings{}, "", fmt.Errorf("read configuration %s: %w", path, err)
	}
	if s.Key != "" && s.KeyFile != "" {
		return fileSettings{}, "", fmt.Errorf("read configuration %s: give key or key_file, not both", path)
	}
	if s.Key == "" {
		return s, "", nil
	}
	return s, openToOthers(path), nil
}

// openToOthers returns a warning when others can read a file that holds a key. What is no
// file, such as the pipe of another program's output, has no mode that matters.
func openToOthers(path string) string {
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS == "windows" || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 {
		return ""
	}
	return fmt.Sprintf("%s holds a key and has mode %04o, so that other users can read it; run: chmod 600 %s",
		path, info.Mode().Perm(), path)
}

// readKeyFile reads a key of a file that the user named, and warns when others can too.
func (s *settings) readKeyFile(path string) (string, error) {
	key, err := readKeyFile(path)
	if w := openToOthers(path); err == nil && w != "" {
		s.warnings = append(s.warnings, w)
	}
	return key, err
}

func readKeyFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	if info.Size() > maxKeyFile {
		return "", fmt.Errorf("read key: %s is no key, it has %d bytes", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	key := strings.TrimSpace(string(text))
	if key == "" {
		return "", fmt.Errorf("read key: %s is empty", path)
	}
	return key, nil
}

// besides resolves a path that the configuration file names.
func besides(config, path, home string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(home, rest)
	}
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(config), path)
}

// serverURL checks an address and gives it one form.
func serverURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q is no address of a gateway; it looks like %s", text, defaultServer)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func isLoopback(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	host := u.Hostname()
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
