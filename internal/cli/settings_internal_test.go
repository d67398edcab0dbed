package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// place is a home and a working directory with files.
func place(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const configFile = ".config/signalbox/config.yaml"

func TestSettings_FlagOverVariableOverFileOverLocalKey(t *testing.T) {
	all := map[string]string{
		configFile:                    "server: http://127.0.0.1:7000\nkey: sb_file\n",
		localDir + "/" + adminKeyFile: "sb_admin\n",
		localDir + "/" + demoKeyFile:  "sb_demo\n",
		"given.key":                   "sb_given\n",
	}
	type want struct{ Server, Key, Withheld string }
	tests := []struct {
		name  string
		files map[string]string
		env   map[string]string
		flags clientFlags
		local string
		want  want
	}{
		{
			name: "nothing at all", local: adminKeyFile,
			want: want{Server: defaultServer},
		},
		{
			name: "the local key of management", files: map[string]string{localDir + "/" + adminKeyFile: "sb_admin\n"}, local: adminKeyFile,
			want: want{Server: defaultServer, Key: "sb_admin"},
		},
		{
			name: "the local key of calls", files: map[string]string{localDir + "/" + demoKeyFile: "sb_demo\n"}, local: demoKeyFile,
			want: want{Server: defaultServer, Key: "sb_demo"},
		},
		{
			name: "the local key is not for other machines", files: map[string]string{localDir + "/" + adminKeyFile: "sb_admin\n"},
			env: map[string]string{varServer: "https://gateway.example"}, local: adminKeyFile,
			want: want{Server: "https://gateway.example", Withheld: "the key in .signalbox/admin.key was not sent: it is for a gateway on this machine"},
		},
		{
			name: "the file", files: all, local: adminKeyFile,
			want: want{Server: "http://127.0.0.1:7000", Key: "sb_file"},
		},
		{
			name: "the file's key file, beside it", local: adminKeyFile,
			files: map[string]string{configFile: "key_file: mine.key\n", ".config/signalbox/mine.key": "sb_mine"},
			want:  want{Server: defaultServer, Key: "sb_mine"},
		},
		{
			name: "the file's key file, in the home", local: adminKeyFile,
			files: map[string]string{configFile: "key_file: ~/mine.key\n", "mine.key": "sb_mine"},
			want:  want{Server: defaultServer, Key: "sb_mine"},
		},
		{
			name: "the file's key is not for another server", files: all, env: map[string]string{varServer: "http://127.0.0.1:7001/"}, local: adminKeyFile,
			want: want{Server: "http://127.0.0.1:7001", Withheld: "the key in CONFIG was not sent: it is for http://127.0.0.1:7000"},
		},
		{
			name: "variables", files: all, env: map[string]string{varServer: "http://127.0.0.1:7001", varKey: "sb_variable"}, local: adminKeyFile,
			want: want{Server: "http://127.0.0.1:7001", Key: "sb_variable"},
		},
		{
			name: "flags", files: all, env: map[string]string{varServer: "http://127.0.0.1:7001", varKey: "sb_variable"},
			flags: clientFlags{server: "http://127.0.0.1:7002", key: "sb_flag"}, local: adminKeyFile,
			want: want{Server: "http://127.0.0.1:7002", Key: "sb_flag"},
		},
		{
			name: "the flag of a file", files: all, env: map[string]string{varKey: "sb_variable"},
			flags: clientFlags{keyFile: "given.key"}, local: adminKeyFile,
			want: want{Server: "http://127.0.0.1:7000", Key: "sb_given"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := place(t, tt.files)
			p := newProgram(Config{WorkDir: dir, Getenv: func(name string) string {
				if name == varHome {
					return dir
				}
				return tt.env[name]
			}})
			p.flags = tt.flags
			if p.flags.keyFile != "" {
				p.flags.keyFile = filepath.Join(dir, p.flags.keyFile)
			}
			got, err := p.settings(tt.local)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Withheld = strings.Replace(tt.want.Withheld, "CONFIG", filepath.Join(dir, configFile), 1)
			if diff := cmp.Diff(tt.want, want{Server: got.server, Key: got.key, Withheld: got.withheld}); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
			if len(got.warnings) != 0 {
				t.Errorf("warnings %q, want none", got.warnings)
			}
		})
	}
}

func TestSettings_ConfigurationDirectoryOfTheSystem(t *testing.T) {
	dir := place(t, map[string]string{"xdg/signalbox/config.yaml": "key: sb_xdg\n"})
	p := newProgram(Config{WorkDir: dir, Getenv: func(name string) string {
		return map[string]string{varHome: dir, varConfigDir: filepath.Join(dir, "xdg")}[name]
	}})
	got, err := p.settings(adminKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	if got.key != "sb_xdg" {
		t.Errorf("key %q, want that of $%s", got.key, varConfigDir)
	}
}

func TestSettings_WarnsOfAKeyThatOthersCanRead(t *testing.T) {
	dir := place(t, map[string]string{configFile: "key: sb_file\n"})
	path := filepath.Join(dir, configFile)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	p := newProgram(Config{WorkDir: dir, Getenv: func(name string) string { return map[string]string{varHome: dir}[name] }})
	got, err := p.settings(adminKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{path + " holds a key and has mode 0644, so that other users can read it; run: chmod 600 " + path}
	if diff := cmp.Diff(want, got.warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestSettings_WarnsOfAKeyFileThatOthersCanRead(t *testing.T) {
	dir := place(t, map[string]string{"ci.key": "sb_ci\n", configFile: "key_file: ~/ci.key\n"})
	path := filepath.Join(dir, "ci.key")
	want := []string{path + " holds a key and has mode 0640, so that other users can read it; run: chmod 600 " + path}
	for name, flags := range map[string]clientFlags{"the flag": {keyFile: path}, "the file's key file": {}} {
		p := newProgram(Config{WorkDir: dir, Getenv: func(name string) string { return map[string]string{varHome: dir}[name] }})
		p.flags = flags
		for mode, want := range map[os.FileMode][]string{0o640: want, 0o600: nil} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			got, err := p.settings(adminKeyFile)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got.warnings); got.key != "sb_ci" || diff != "" {
				t.Errorf("%s with mode %o: key %q, warnings (-want +got):\n%s", name, mode, got.key, diff)
			}
		}
	}
}

func TestSettings_SaysWhatIsWrong(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		flags clientFlags
		want  string
	}{
		{"no address", nil, clientFlags{server: "gateway:8080"}, `"gateway:8080" is no address of a gateway`},
		{"no host", nil, clientFlags{server: "http://"}, "is no address of a gateway"},
		{"an unknown setting", map[string]string{configFile: "sever: x\n"}, clientFlags{}, "field sever not found"},
		{"two keys", map[string]string{configFile: "key: a\nkey_file: b\n"}, clientFlags{}, "not both"},
		{"no key file", nil, clientFlags{keyFile: "/no/such/key"}, "/no/such/key"},
		{"an empty key file", map[string]string{localDir + "/" + adminKeyFile: "\n"}, clientFlags{}, "is empty"},
		{"a key of two lines", nil, clientFlags{key: "sb_a\nsb_b"}, "characters that no header can carry"},
		{"a file that is no key", map[string]string{localDir + "/" + adminKeyFile: strings.Repeat("x", maxKeyFile+1)}, clientFlags{}, "is no key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := place(t, tt.files)
			p := newProgram(Config{WorkDir: dir, Getenv: func(name string) string { return map[string]string{varHome: dir}[name] }})
			p.flags = tt.flags
			if _, err := p.settings(adminKeyFile); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}
