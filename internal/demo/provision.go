package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1/identityv1connect"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1/registryv1connect"
)

const teamName = "teams/" + Team

// ErrNameTaken means that the installation has an agent of the same name that is not
// the demonstration's.
var ErrNameTaken = errors.New("the name belongs to an agent of another team")

// provisioner makes what the demonstration needs.
type provisioner struct {
	url      string
	client   *http.Client
	identity identityv1connect.IdentityServiceClient
	registry registryv1connect.RegistryServiceClient
	log      *slog.Logger
}

func (p *provisioner) ensureTeam(ctx context.Context) error {
	_, err := p.identity.CreateTeam(ctx, &identityv1.CreateTeamRequest{
		TeamId: Team, Team: &identityv1.Team{DisplayName: "Demo"},
	})
	switch {
	case err == nil:
		p.log.LogAttrs(ctx, slog.LevelInfo, "demo team made", slog.String("team", teamName))
	case connect.CodeOf(err) != connect.CodeAlreadyExists:
		return fmt.Errorf("make team %s: %w", teamName, err)
	}
	return nil
}

// ensureKey returns the secret of a key: the one in the file while it works, else a
// new one, which is written there.
func (p *provisioner) ensureKey(ctx context.Context, id, displayName, path string) (string, error) {
	name := teamName + "/keys/" + id
	secret, err := readSecret(path)
	if err != nil {
		return "", fmt.Errorf("read secret of key %s: %w", name, err)
	}
	if secret != "" {
		works, err := p.works(ctx, secret)
		if err != nil {
			return "", fmt.Errorf("use key %s of %s: %w", name, path, err)
		}
		if works {
			return secret, nil
		}
	}
	made, err := p.identity.CreateKey(ctx, &identityv1.CreateKeyRequest{
		Parent: teamName, KeyId: id, Key: &identityv1.Key{DisplayName: displayName},
	})
	secret = made.GetSecret()
	if connect.CodeOf(err) == connect.CodeAlreadyExists {
		// The file was lost: the secret before can never be used again.
		var rotated *identityv1.RotateKeyResponse
		rotated, err = p.identity.RotateKey(ctx, &identityv1.RotateKeyRequest{Name: name})
		secret = rotated.GetSecret()
	}
	if err != nil {
		return "", fmt.Errorf("make key %s: %w", name, err)
	}
	if err := writeSecret(path, secret); err != nil {
		return "", fmt.Errorf("write secret of key %s: %w", name, err)
	}
	p.log.LogAttrs(ctx, slog.LevelInfo, "demo key made", slog.String("key", name), slog.String("file", path))
	return secret, nil
}

// works tells whether the gateway knows a secret. A key that somebody disabled or that
// has expired is an error: it was done on purpose.
func (p *provisioner) works(ctx context.Context, secret string) (bool, error) {
	own := identityv1connect.NewIdentityServiceClient(p.client, p.url, withKey(secret))
	_, err := own.GetTeam(ctx, &identityv1.GetTeamRequest{Name: teamName})
	switch {
	case err == nil:
		return true, nil
	case connect.CodeOf(err) == connect.CodeNotFound, unknownSecret(err):
		return false, nil // of another installation, or rotated elsewhere
	}
	return false, err
}

// ensureAgent registers an agent, or writes its new address to what is registered.
func (p *provisioner) ensureAgent(ctx context.Context, s *agentServer) error {
	name := "agents/" + s.spec.id
	endpoints := []*registryv1.Endpoint{{Url: s.url}}
	_, err := p.registry.CreateAgent(ctx, &registryv1.CreateAgentRequest{
		AgentId: s.spec.id,
		Agent: &registryv1.Agent{
			Team: teamName, DisplayName: s.spec.name, Description: s.spec.description,
			Tags: []string{"demo"}, Visibility: registryv1.Visibility_VISIBILITY_ORGANIZATION, Endpoints: endpoints,
		},
	})
	switch {
	case err == nil:
		p.log.LogAttrs(ctx, slog.LevelInfo, "demo agent registered", slog.String("agent", name), slog.String("url", s.url))
		return nil
	case connect.CodeOf(err) != connect.CodeAlreadyExists:
		return fmt.Errorf("register %s: %w", name, err)
	}
	known, err := p.registry.GetAgent(ctx, &registryv1.GetAgentRequest{Name: name})
	if err != nil {
		return fmt.Errorf("get %s: %w", name, err)
	}
	if known.GetTeam() != teamName {
		return fmt.Errorf("register %s: %w: %s", name, ErrNameTaken, known.GetTeam())
	}
	_, err = p.registry.UpdateAgent(ctx, &registryv1.UpdateAgentRequest{
		Agent:      &registryv1.Agent{Name: name, Endpoints: endpoints},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"endpoints"}},
	})
	if err != nil {
		return fmt.Errorf("update %s: %w", name, err)
	}
	p.log.LogAttrs(ctx, slog.LevelInfo, "demo agent updated", slog.String("agent", name), slog.String("url", s.url))
	return nil
}

// readSecret returns "" when there is no file.
func readSecret(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(text))
	if slices.ContainsFunc([]byte(secret), func(b byte) bool { return b <= ' ' || b > '~' }) {
		return "", nil // no key; a new one takes its place
	}
	return secret, nil
}

// writeSecret makes the file appear with its whole content.
func writeSecret(path, secret string) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = temp.WriteString(secret + "\n")
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}
