package api_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/identity"
)

func TestTeams_LiveFromCreateToDelete(t *testing.T) {
	p := newPlane(t)
	ctx, admin := t.Context(), p.admin()
	made, err := admin.CreateTeam(ctx, &identityv1.CreateTeamRequest{TeamId: "demo", Team: &identityv1.Team{DisplayName: "Demo"}})
	must(t, err)
	if made.GetName() != "teams/demo" || made.GetDisplayName() != "Demo" || made.GetUid() == "" || made.GetEtag() == "" || made.GetCreateTime() == nil {
		t.Errorf("created %v", made)
	}
	_, err = admin.CreateTeam(ctx, &identityv1.CreateTeamRequest{TeamId: "demo"})
	refused(t, err, connect.CodeAlreadyExists, "TEAM_EXISTS")
	_, err = admin.CreateTeam(ctx, &identityv1.CreateTeamRequest{TeamId: "Not A Name"})
	info := refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")
	if info.GetMetadata()["field"] != "team_id" {
		t.Errorf("validation names field %q, want team_id", info.GetMetadata()["field"])
	}

	renamed, err := admin.UpdateTeam(ctx, &identityv1.UpdateTeamRequest{Team: &identityv1.Team{Name: "teams/demo", DisplayName: "New", Etag: made.GetEtag()}})
	must(t, err)
	if renamed.GetDisplayName() != "New" || renamed.GetEtag() == made.GetEtag() {
		t.Errorf("updated %v", renamed)
	}
	_, err = admin.UpdateTeam(ctx, &identityv1.UpdateTeamRequest{Team: &identityv1.Team{Name: "teams/demo", DisplayName: "X", Etag: made.GetEtag()}})
	refused(t, err, connect.CodeAborted, "ETAG_MISMATCH")
	_, err = admin.UpdateTeam(ctx, &identityv1.UpdateTeamRequest{Team: &identityv1.Team{Name: "teams/demo"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"uid"}}})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_UPDATE_MASK")
	_, err = admin.UpdateTeam(ctx, &identityv1.UpdateTeamRequest{Team: &identityv1.Team{Name: "teams/none", DisplayName: "x"}})
	refused(t, err, connect.CodeNotFound, "TEAM_NOT_FOUND")

	p.agent(t, "demo", "echo")
	_, err = admin.DeleteTeam(ctx, &identityv1.DeleteTeamRequest{Name: "teams/demo"})
	refused(t, err, connect.CodeFailedPrecondition, "TEAM_NOT_EMPTY")
	_, err = admin.DeleteAgent(ctx, &registryv1.DeleteAgentRequest{Name: "agents/echo"})
	must(t, err)
	_, err = admin.DeleteTeam(ctx, &identityv1.DeleteTeamRequest{Name: "teams/demo", Etag: "old"})
	refused(t, err, connect.CodeAborted, "ETAG_MISMATCH")
	_, err = admin.DeleteTeam(ctx, &identityv1.DeleteTeamRequest{Name: "teams/demo", Etag: renamed.GetEtag()})
	must(t, err)
	_, err = admin.GetTeam(ctx, &identityv1.GetTeamRequest{Name: "teams/demo"})
	refused(t, err, connect.CodeNotFound, "TEAM_NOT_FOUND")
	_, err = admin.DeleteTeam(ctx, &identityv1.DeleteTeamRequest{Name: "teams/demo"})
	refused(t, err, connect.CodeNotFound, "TEAM_NOT_FOUND")

	_, err = admin.CreateTeam(ctx, &identityv1.CreateTeamRequest{TeamId: "demo"})
	refused(t, err, connect.CodeAlreadyExists, "TEAM_EXISTS")
	if !strings.Contains(err.Error(), "deleted") {
		t.Errorf("a name that was used before is refused with %v; want that it says so", err)
	}

	key, secret := p.team(t, "full")
	_, err = admin.DeleteTeam(ctx, &identityv1.DeleteTeamRequest{Name: "teams/full"})
	refused(t, err, connect.CodeFailedPrecondition, "TEAM_NOT_EMPTY")
	_, err = admin.DisableKey(ctx, &identityv1.DisableKeyRequest{Name: key})
	must(t, err)
	_, err = admin.DeleteTeam(ctx, &identityv1.DeleteTeamRequest{Name: "teams/full"})
	must(t, err)
	if state := p.works(t, secret); state != "CREDENTIALS_INVALID" {
		t.Errorf("the key of a team that was deleted: %s", state)
	}
}

func TestCreateTeam_OneOfManyWins(t *testing.T) {
	p := newPlane(t)
	var won atomic.Int32
	var racers sync.WaitGroup
	for range 8 {
		racers.Go(func() {
			_, err := p.admin().CreateTeam(t.Context(), &identityv1.CreateTeamRequest{TeamId: "demo"})
			switch {
			case err == nil:
				won.Add(1)
			case connect.CodeOf(err) != connect.CodeAlreadyExists:
				t.Error(err)
			}
		})
	}
	racers.Wait()
	if won.Load() != 1 {
		t.Errorf("%d writers made the team, want 1", won.Load())
	}
}

func TestTeamsAndKeys_ListInPages(t *testing.T) {
	p := newPlane(t)
	ctx, admin := t.Context(), p.admin()
	for _, id := range []string{"b", "a", "a-b", "c"} {
		p.team(t, id)
	}
	_, err := admin.CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/a", KeyId: "zz"})
	must(t, err)
	var teams []string
	for token := ""; ; {
		res, err := admin.ListTeams(ctx, &identityv1.ListTeamsRequest{PageSize: 3, PageToken: token})
		must(t, err)
		for _, team := range res.GetTeams() {
			teams = append(teams, team.GetName())
		}
		if token = res.GetNextPageToken(); token == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"teams/a", "teams/a-b", "teams/b", "teams/c"}, teams); diff != "" {
		t.Errorf("teams (-want +got):\n%s", diff)
	}
	keys := func(parent string) (names []string) {
		for token := ""; ; {
			res, err := admin.ListKeys(ctx, &identityv1.ListKeysRequest{Parent: parent, PageSize: 2, PageToken: token})
			must(t, err)
			for _, k := range res.GetKeys() {
				names = append(names, k.GetName())
			}
			if token = res.GetNextPageToken(); token == "" {
				return names
			}
		}
	}
	want := []string{"teams/a/keys/laptop", "teams/a/keys/zz", "teams/a-b/keys/laptop", "teams/b/keys/laptop", "teams/c/keys/laptop"}
	if diff := cmp.Diff(want, keys("teams/-")); diff != "" {
		t.Errorf("keys of all teams (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[:2], keys("teams/a")); diff != "" {
		t.Errorf("keys of a team (-want +got):\n%s", diff)
	}
	_, err = admin.ListKeys(ctx, &identityv1.ListKeysRequest{Parent: "teams/none"})
	refused(t, err, connect.CodeNotFound, "TEAM_NOT_FOUND")
	_, err = admin.ListTeams(ctx, &identityv1.ListTeamsRequest{PageToken: "bm9uc2Vuc2U"})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_PAGE_TOKEN")
}

// works tells whether a secret is accepted.
func (p *plane) works(t *testing.T, secret string) string {
	t.Helper()
	_, err := p.as(secret).ListTeams(t.Context(), &identityv1.ListTeamsRequest{})
	if err == nil {
		return "works"
	}
	return infoOf(err).GetReason()
}

func TestCreateKey_SecretWorksAtOnceAndIsShownOnce(t *testing.T) {
	p := newPlane(t)
	ctx, admin := t.Context(), p.admin()
	p.team(t, "demo")
	expiry := timestamppb.New(p.clock.Now().Add(time.Hour))
	made, err := admin.CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/demo", Key: &identityv1.Key{DisplayName: "laptop", ExpireTime: expiry}})
	must(t, err)
	if !strings.HasPrefix(made.GetSecret(), "sb_") || !strings.HasPrefix(made.GetSecret(), made.GetKey().GetSecretHint()) ||
		!strings.HasPrefix(made.GetKey().GetName(), "teams/demo/keys/") {
		t.Errorf("created %v", made)
	}
	if got := p.works(t, made.GetSecret()); got != "works" {
		t.Errorf("a new secret: %s", got)
	}
	read, err := admin.GetKey(ctx, &identityv1.GetKeyRequest{Name: made.GetKey().GetName()})
	must(t, err)
	if strings.Contains(read.String(), made.GetSecret()) || read.GetDisplayName() != "laptop" || read.GetLastUsedTime() == nil {
		t.Errorf("read %v; want no secret and a last use", read)
	}
	p.clock.step(2 * time.Hour)
	if got := p.works(t, made.GetSecret()); got != "KEY_EXPIRED" {
		t.Errorf("after its expiry: %s, want KEY_EXPIRED", got)
	}
	_, err = admin.CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/demo", Key: &identityv1.Key{ExpireTime: expiry}})
	if info := refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT"); info.GetMetadata()["field"] != "key.expire_time" {
		t.Errorf("%v names field %q", err, info.GetMetadata()["field"])
	}
	_, err = admin.CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/demo", KeyId: "laptop"})
	refused(t, err, connect.CodeAlreadyExists, "KEY_EXISTS")
	_, err = admin.CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/demo", Key: &identityv1.Key{DisplayName: "\x00"}})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")
	_, err = admin.CreateTeam(ctx, &identityv1.CreateTeamRequest{TeamId: "t", Team: &identityv1.Team{DisplayName: "a\nb"}})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")
	_, err = admin.CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/none"})
	refused(t, err, connect.CodeNotFound, "TEAM_NOT_FOUND")
	_, err = admin.GetKey(ctx, &identityv1.GetKeyRequest{Name: "teams/demo/keys/none"})
	refused(t, err, connect.CodeNotFound, "KEY_NOT_FOUND")
	for _, secret := range p.secretsInHistory(t) {
		t.Errorf("the history of the configuration holds a secret or its hash: %s", secret)
	}
}

// secretsInHistory returns the rows of the history that hold a stored hash or
// anything that looks like a secret.
func (p *plane) secretsInHistory(t *testing.T) []string {
	t.Helper()
	rows, err := p.pool.Query(t.Context(), `
		SELECT c.after_state::text FROM config_changes c
		WHERE c.after_state::text ~ 'sb_[A-Za-z0-9_-]{20}' OR EXISTS (
			SELECT 1 FROM key_secrets s WHERE position(encode(s.secret_sha256, 'hex') IN c.after_state::text) > 0)`)
	must(t, err)
	defer rows.Close()
	var found []string
	for rows.Next() {
		var text string
		must(t, rows.Scan(&text))
		found = append(found, text)
	}
	must(t, rows.Err())
	return found
}

func TestRotateKey_BothSecretsWorkUntilTheOverlapEnds(t *testing.T) {
	p := newPlane(t)
	ctx, admin := t.Context(), p.admin()
	name, first := p.team(t, "demo")
	rotate := func(overlap time.Duration) *identityv1.RotateKeyResponse {
		t.Helper()
		res, err := admin.RotateKey(ctx, &identityv1.RotateKeyRequest{Name: name, Overlap: durationpb.New(overlap)})
		must(t, err)
		return res
	}
	second := rotate(time.Hour)
	if second.GetKey().GetPreviousSecretExpireTime() == nil || second.GetSecret() == first {
		t.Errorf("rotated %v", second)
	}
	check := func(when string, want map[string]string) {
		t.Helper()
		for secret, state := range want {
			if got := p.works(t, secret); got != state {
				t.Errorf("%s: %s, want %s", when, got, state)
			}
		}
	}
	check("in the overlap", map[string]string{first: "works", second.GetSecret(): "works"})
	p.clock.step(time.Hour + time.Minute)
	check("after the overlap", map[string]string{first: "KEY_EXPIRED", second.GetSecret(): "works"})
	read, err := admin.GetKey(ctx, &identityv1.GetKeyRequest{Name: name})
	must(t, err)
	if read.GetPreviousSecretExpireTime() != nil {
		t.Error("an overlap that has ended is still shown")
	}

	third := rotate(time.Hour)
	check("after a second rotation", map[string]string{first: "CREDENTIALS_INVALID", second.GetSecret(): "works", third.GetSecret(): "works"})
	fourth := rotate(time.Hour)
	check("after a third rotation within the overlap", map[string]string{second.GetSecret(): "CREDENTIALS_INVALID", third.GetSecret(): "works", fourth.GetSecret(): "works"})
	fifth := rotate(0)
	check("after a rotation without overlap", map[string]string{
		third.GetSecret(): "CREDENTIALS_INVALID", fourth.GetSecret(): "CREDENTIALS_INVALID", fifth.GetSecret(): "works",
	})
	_, err = admin.RotateKey(ctx, &identityv1.RotateKeyRequest{Name: "teams/demo/keys/none"})
	refused(t, err, connect.CodeNotFound, "KEY_NOT_FOUND")
	_, err = admin.RotateKey(ctx, &identityv1.RotateKeyRequest{Name: name, Overlap: durationpb.New(-time.Second)})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")
}

func TestRotateKey_ConcurrentRotationsLeaveTwoSecrets(t *testing.T) {
	p := newPlane(t)
	name, _ := p.team(t, "demo")
	secrets := make([]string, 6)
	var racers sync.WaitGroup
	for i := range secrets {
		racers.Go(func() {
			res, err := p.admin().RotateKey(t.Context(), &identityv1.RotateKeyRequest{Name: name, Overlap: durationpb.New(time.Hour)})
			if err != nil {
				t.Error(err)
				return
			}
			secrets[i] = res.GetSecret()
		})
	}
	racers.Wait()
	working := 0
	for _, secret := range secrets {
		if p.works(t, secret) == "works" {
			working++
		}
	}
	if working != identity.MaxSecrets {
		t.Errorf("%d secrets work, want %d", working, identity.MaxSecrets)
	}
}

func TestKeys_AreDisabledAndUpdated(t *testing.T) {
	p := newPlane(t)
	ctx, admin := t.Context(), p.admin()
	name, secret := p.team(t, "demo")
	k, err := admin.DisableKey(ctx, &identityv1.DisableKeyRequest{Name: name})
	must(t, err)
	if !k.GetDisabled() || p.works(t, secret) != "KEY_DISABLED" {
		t.Errorf("disabled key: %v, %s", k, p.works(t, secret))
	}
	again, err := admin.DisableKey(ctx, &identityv1.DisableKeyRequest{Name: name})
	must(t, err)
	if again.GetEtag() != k.GetEtag() {
		t.Error("disabling a disabled key changed it")
	}
	k, err = admin.UpdateKey(ctx, &identityv1.UpdateKeyRequest{
		Key: &identityv1.Key{Name: name, DisplayName: "D"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"disabled", "display_name"}},
	})
	must(t, err)
	if k.GetDisabled() || k.GetDisplayName() != "D" || p.works(t, secret) != "works" {
		t.Errorf("enabled key: %v, %s", k, p.works(t, secret))
	}
	k, err = admin.UpdateKey(ctx, &identityv1.UpdateKeyRequest{Key: &identityv1.Key{Name: name, ExpireTime: timestamppb.New(p.clock.Now().Add(time.Minute))}})
	must(t, err)
	if k.GetExpireTime() == nil || k.GetDisplayName() != "D" {
		t.Errorf("key with an expiry: %v", k)
	}
	k, err = admin.UpdateKey(ctx, &identityv1.UpdateKeyRequest{Key: &identityv1.Key{Name: name}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"expire_time"}}})
	must(t, err)
	if k.GetExpireTime() != nil {
		t.Errorf("key whose expiry was taken away: %v", k)
	}
	_, err = admin.UpdateKey(ctx, &identityv1.UpdateKeyRequest{Key: &identityv1.Key{Name: name, Etag: "old", DisplayName: "x"}})
	refused(t, err, connect.CodeAborted, "ETAG_MISMATCH")
	_, err = admin.UpdateKey(ctx, &identityv1.UpdateKeyRequest{Key: &identityv1.Key{DisplayName: "x"}})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")
	_, err = admin.UpdateKey(ctx, &identityv1.UpdateKeyRequest{Key: &identityv1.Key{Name: name}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"secret_hint"}}})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_UPDATE_MASK")
	_, err = admin.DisableKey(ctx, &identityv1.DisableKeyRequest{Name: "teams/demo/keys/none"})
	refused(t, err, connect.CodeNotFound, "KEY_NOT_FOUND")
}

// Every call of the services, as a team's key makes it on things of team "a".
type call struct {
	name string
	do   func(ctx context.Context, c clients) error
	// What the admin key, a key of team "a" and one of team "b" get: "" for success.
	admin, own, other string
}

func calls() []call {
	const denied, noAgent, noTeam, noKey = "PERMISSION_DENIED", "AGENT_NOT_FOUND", "TEAM_NOT_FOUND", "KEY_NOT_FOUND"
	n := 0
	fresh := func(prefix string) string { n++; return fmt.Sprintf("%s%d", prefix, n) }
	agent := func(team string) *registryv1.Agent {
		return &registryv1.Agent{Team: team, CardJson: []byte(plainCard), Endpoints: []*registryv1.Endpoint{{Url: "http://127.0.0.1:9"}}}
	}
	return []call{
		{"CreateTeam", func(ctx context.Context, c clients) error {
			_, err := c.CreateTeam(ctx, &identityv1.CreateTeamRequest{TeamId: fresh("t")})
			return err
		}, "", denied, denied},
		{"CreateTeam that exists", func(ctx context.Context, c clients) error {
			_, err := c.CreateTeam(ctx, &identityv1.CreateTeamRequest{TeamId: "a"})
			return err
		}, "TEAM_EXISTS", denied, denied},
		{"GetTeam", func(ctx context.Context, c clients) error {
			_, err := c.GetTeam(ctx, &identityv1.GetTeamRequest{Name: "teams/a"})
			return err
		}, "", "", noTeam},
		{"UpdateTeam", func(ctx context.Context, c clients) error {
			_, err := c.UpdateTeam(ctx, &identityv1.UpdateTeamRequest{Team: &identityv1.Team{Name: "teams/a", DisplayName: fresh("d")}})
			return err
		}, "", denied, noTeam},
		{"DeleteTeam", func(ctx context.Context, c clients) error {
			_, err := c.DeleteTeam(ctx, &identityv1.DeleteTeamRequest{Name: "teams/a"})
			return err
		}, "TEAM_NOT_EMPTY", denied, noTeam},
		{"CreateKey", func(ctx context.Context, c clients) error {
			_, err := c.CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/a"})
			return err
		}, "", denied, noTeam},
		{"GetKey", func(ctx context.Context, c clients) error {
			_, err := c.GetKey(ctx, &identityv1.GetKeyRequest{Name: "teams/a/keys/laptop"})
			return err
		}, "", "", noKey},
		{"ListKeys", func(ctx context.Context, c clients) error {
			_, err := c.ListKeys(ctx, &identityv1.ListKeysRequest{Parent: "teams/a"})
			return err
		}, "", "", noTeam},
		{"UpdateKey", func(ctx context.Context, c clients) error {
			_, err := c.UpdateKey(ctx, &identityv1.UpdateKeyRequest{Key: &identityv1.Key{Name: "teams/a/keys/spare", DisplayName: fresh("d")}})
			return err
		}, "", denied, noKey},
		{"DisableKey", func(ctx context.Context, c clients) error {
			_, err := c.DisableKey(ctx, &identityv1.DisableKeyRequest{Name: "teams/a/keys/spare"})
			return err
		}, "", denied, noKey},
		{"RotateKey", func(ctx context.Context, c clients) error {
			_, err := c.RotateKey(ctx, &identityv1.RotateKeyRequest{Name: "teams/a/keys/spare"})
			return err
		}, "", denied, noKey},
		{"CreateAgent", func(ctx context.Context, c clients) error {
			_, err := c.CreateAgent(ctx, &registryv1.CreateAgentRequest{AgentId: fresh("x"), Agent: agent("teams/a")})
			return err
		}, "", "", noTeam},
		{"ImportAgent", func(ctx context.Context, c clients) error {
			_, err := c.ImportAgent(ctx, &registryv1.ImportAgentRequest{
				AgentId: fresh("i"), Team: "teams/a", Source: &registryv1.ImportAgentRequest_CardJson{CardJson: []byte(plainCard)},
			})
			return err
		}, "", "", noTeam},
		{"GetAgent", func(ctx context.Context, c clients) error {
			_, err := c.GetAgent(ctx, &registryv1.GetAgentRequest{Name: "agents/hidden"})
			return err
		}, "", "", noAgent},
		{"GetAgent that others may call", func(ctx context.Context, c clients) error {
			_, err := c.GetAgent(ctx, &registryv1.GetAgentRequest{Name: "agents/shared"})
			return err
		}, "", "", denied},
		{"UpdateAgent", func(ctx context.Context, c clients) error {
			_, err := c.UpdateAgent(ctx, &registryv1.UpdateAgentRequest{Agent: &registryv1.Agent{Name: "agents/hidden", DisplayName: fresh("d")}})
			return err
		}, "", "", noAgent},
		{"UpdateAgent that others may call", func(ctx context.Context, c clients) error {
			_, err := c.UpdateAgent(ctx, &registryv1.UpdateAgentRequest{Agent: &registryv1.Agent{Name: "agents/shared", DisplayName: fresh("d")}})
			return err
		}, "", "", denied},
		{"SuspendAgent", func(ctx context.Context, c clients) error {
			_, err := c.SuspendAgent(ctx, &registryv1.SuspendAgentRequest{Name: "agents/hidden"})
			return err
		}, "", "", noAgent},
		{"SuspendAgent that others may call", func(ctx context.Context, c clients) error {
			_, err := c.SuspendAgent(ctx, &registryv1.SuspendAgentRequest{Name: "agents/shared"})
			return err
		}, "", "", denied},
		{"ResumeAgent that others may call", func(ctx context.Context, c clients) error {
			_, err := c.ResumeAgent(ctx, &registryv1.ResumeAgentRequest{Name: "agents/shared"})
			return err
		}, "", "", denied},
		{"ResumeAgent", func(ctx context.Context, c clients) error {
			_, err := c.ResumeAgent(ctx, &registryv1.ResumeAgentRequest{Name: "agents/hidden"})
			return err
		}, "", "", noAgent},
		{"DeleteAgent that others may call", func(ctx context.Context, c clients) error {
			_, err := c.DeleteAgent(ctx, &registryv1.DeleteAgentRequest{Name: "agents/shared", Etag: "old"})
			return err
		}, "ETAG_MISMATCH", "ETAG_MISMATCH", denied},
		{"DeleteAgent", func(ctx context.Context, c clients) error {
			_, err := c.DeleteAgent(ctx, &registryv1.DeleteAgentRequest{Name: "agents/hidden", Etag: "old"})
			return err
		}, "ETAG_MISMATCH", "ETAG_MISMATCH", noAgent},
	}
}

func TestDenials_SayWhoMay(t *testing.T) {
	p := newPlane(t)
	_, own := p.team(t, "a")
	_, other := p.team(t, "b")
	p.agent(t, "a", "shared", func(a *registryv1.Agent) { a.Visibility = registryv1.Visibility_VISIBILITY_ORGANIZATION })
	for name, tc := range map[string]struct {
		secret string
		do     func(c clients) error
		want   string
	}{
		"create a team": {own, func(c clients) error {
			_, err := c.CreateTeam(t.Context(), &identityv1.CreateTeamRequest{TeamId: "c"})
			return err
		}, "you may not do this: CreateTeam needs a role or a policy that permits it; ask an admin of the installation"},
		"change the own team": {own, func(c clients) error {
			_, err := c.UpdateTeam(t.Context(), &identityv1.UpdateTeamRequest{Team: &identityv1.Team{Name: "teams/a", DisplayName: "x"}})
			return err
		}, "you may read teams/a, but UpdateTeam needs a role, a grant or a policy that permits it"},
		"create a key": {own, func(c clients) error {
			_, err := c.CreateKey(t.Context(), &identityv1.CreateKeyRequest{Parent: "teams/a"})
			return err
		}, "you may read teams/a, but CreateKey needs a role, a grant or a policy that permits it"},
		"read another's agent": {other, func(c clients) error {
			_, err := c.GetAgent(t.Context(), &registryv1.GetAgentRequest{Name: "agents/shared"})
			return err
		}, "you may call agents/shared but not read its registration: that is for the team that owns it"},
		"delete another's agent": {other, func(c clients) error {
			_, err := c.DeleteAgent(t.Context(), &registryv1.DeleteAgentRequest{Name: "agents/shared"})
			return err
		}, "you may call agents/shared but not change its registration: that is for the team that owns it"},
	} {
		err := tc.do(p.as(tc.secret))
		refused(t, err, connect.CodePermissionDenied, "PERMISSION_DENIED")
		if e, ok := errors.AsType[*connect.Error](err); !ok || e.Message() != tc.want {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestIsolation_OfEveryCall(t *testing.T) {
	p := newPlane(t)
	_, own := p.team(t, "a")
	_, other := p.team(t, "b")
	_, err := p.admin().CreateKey(t.Context(), &identityv1.CreateKeyRequest{Parent: "teams/a", KeyId: "spare"})
	must(t, err)
	p.agent(t, "a", "hidden")
	p.agent(t, "a", "shared", func(a *registryv1.Agent) { a.Visibility = registryv1.Visibility_VISIBILITY_ORGANIZATION })
	for _, protocol := range []struct {
		name   string
		option connect.ClientOption
	}{
		{"Connect", connect.WithClientOptions()},
		{"Connect JSON", connect.WithProtoJSON()},
		{"gRPC", connect.WithGRPC()},
		{"gRPC-Web", connect.WithGRPCWeb()},
	} {
		t.Run(protocol.name, func(t *testing.T) {
			for _, c := range calls() {
				for _, caller := range []struct{ name, secret, want string }{
					{"admin", adminSecret, c.admin},
					{"own team", own, c.own},
					{"other team", other, c.other},
					{"nobody", "", "CREDENTIALS_MISSING"},
					{"unknown", "sb_" + strings.Repeat("x", 43), "CREDENTIALS_INVALID"},
				} {
					err := c.do(t.Context(), p.as(caller.secret, protocol.option))
					if got := infoOf(err).GetReason(); got != caller.want || (err == nil) != (caller.want == "") {
						t.Errorf("%s by %s: %v (%s), want %q", c.name, caller.name, err, got, caller.want)
					}
				}
			}
		})
		// The calls made things; each protocol begins with the same.
		_, err := p.pool.Exec(t.Context(), `
			DELETE FROM agents WHERE agent_id ~ '^[xi][0-9]+$'; DELETE FROM teams WHERE team_id ~ '^t[0-9]+$'`)
		must(t, err)
	}
}

func TestIsolation_HiddenAndAbsentReadTheSame(t *testing.T) {
	p := newPlane(t)
	p.team(t, "a")
	_, other := p.team(t, "b")
	p.agent(t, "a", "hidden")
	texts := func(name string, do func(c clients, id string) error, present, absent string) {
		t.Helper()
		one, two := do(p.as(other), present), do(p.as(other), absent)
		if strings.ReplaceAll(one.Error(), present, "?") != strings.ReplaceAll(two.Error(), absent, "?") {
			t.Errorf("%s: %q for what is hidden, %q for what is absent", name, one, two)
		}
	}
	texts("agent", func(c clients, id string) error {
		_, err := c.GetAgent(t.Context(), &registryv1.GetAgentRequest{Name: id})
		return err
	}, "agents/hidden", "agents/absent")
	texts("team", func(c clients, id string) error {
		_, err := c.GetTeam(t.Context(), &identityv1.GetTeamRequest{Name: id})
		return err
	}, "teams/a", "teams/absent")
	texts("key", func(c clients, id string) error {
		_, err := c.GetKey(t.Context(), &identityv1.GetKeyRequest{Name: id})
		return err
	}, "teams/a/keys/laptop", "teams/a/keys/absent")
	texts("key of a team", func(c clients, id string) error {
		_, err := c.CreateKey(t.Context(), &identityv1.CreateKeyRequest{Parent: id})
		return err
	}, "teams/a", "teams/absent")
}

func TestIsolation_ListsShowOnlyOnesOwn(t *testing.T) {
	p := newPlane(t)
	_, own := p.team(t, "a")
	p.team(t, "b")
	p.agent(t, "a", "mine")
	p.agent(t, "b", "theirs", func(a *registryv1.Agent) { a.Visibility = registryv1.Visibility_VISIBILITY_PUBLIC })
	list := func(secret string) (names []string) {
		c := p.as(secret)
		teams, err := c.ListTeams(t.Context(), &identityv1.ListTeamsRequest{})
		must(t, err)
		for _, team := range teams.GetTeams() {
			names = append(names, team.GetName())
		}
		keys, err := c.ListKeys(t.Context(), &identityv1.ListKeysRequest{Parent: "teams/-"})
		must(t, err)
		for _, k := range keys.GetKeys() {
			names = append(names, k.GetName())
		}
		for _, filter := range []string{"", `team = "teams/b"`} {
			agents, err := c.ListAgents(t.Context(), &registryv1.ListAgentsRequest{Filter: filter})
			must(t, err)
			for _, a := range agents.GetAgents() {
				names = append(names, a.GetName())
			}
		}
		return names
	}
	if diff := cmp.Diff([]string{"teams/a", "teams/a/keys/laptop", "agents/mine"}, list(own)); diff != "" {
		t.Errorf("lists of a team's key (-want +got):\n%s", diff)
	}
	all := []string{"teams/a", "teams/b", "teams/a/keys/laptop", "teams/b/keys/laptop", "agents/mine", "agents/theirs", "agents/theirs"}
	if diff := cmp.Diff(all, list(adminSecret)); diff != "" {
		t.Errorf("lists of the admin key (-want +got):\n%s", diff)
	}
}
