package api

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1/policyv1connect"
	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
)

// policyHandler serves the PolicyService.
type policyHandler struct{ *api }

var _ policyv1connect.PolicyServiceHandler = policyHandler{}

// policyPlace, versionPlace and grantPlace are places in lists, as page tokens hold them.
type (
	policyPlace struct {
		Policy string `json:"p"`
	}
	versionPlace struct {
		Before int64 `json:"b"`
	}
	grantPlace struct {
		Grant string `json:"g"`
	}
)

func hiddenPolicy(id string) error {
	return &hiddenError{resource: admin.PolicyName(id), cause: admin.ErrPolicyNotFound}
}

// ApplyPolicy makes a policy or its next version.
func (h policyHandler) ApplyPolicy(ctx context.Context, req *policyv1.ApplyPolicyRequest) (*policyv1.Policy, error) {
	if err := h.authorize(ctx, policy.ApplyPolicy, installation(), nil); err != nil {
		return nil, err
	}
	caller := interceptor.Principal(ctx)
	before, after, revision, err := h.policies.Apply(ctx, &caller, admin.Draft{
		ID: req.GetPolicyId(), Text: req.GetText(), Mode: modeOf(req.GetMode()), Description: req.Description, Comment: req.GetComment(),
		Replay: replayID(req.GetReplay()), Etag: req.GetEtag(), ValidateOnly: req.GetValidateOnly(),
	})
	if err != nil {
		return nil, err
	}
	if req.GetValidateOnly() {
		return policyToProto(after), nil
	}
	// Without a type there is no document.
	var was proto.Message
	if before != nil {
		was = policyToProto(*before)
	}
	return h.changedPolicy(ctx, was, after, revision), nil
}

// changedPolicy is a policy as it stands in the answer to a change of it.
func (h policyHandler) changedPolicy(ctx context.Context, was proto.Message, is admin.Policy, revision int64) *policyv1.Policy {
	recordChange(ctx, was, policyToProto(is), revision)
	out := policyToProto(is)
	out.Rollout = h.rollOut(ctx, revision)
	return out
}

// GetPolicy returns one policy.
func (h policyHandler) GetPolicy(ctx context.Context, req *policyv1.GetPolicyRequest) (*policyv1.Policy, error) {
	p, err := h.policy(ctx, policy.GetPolicy, req.GetName())
	if err != nil {
		return nil, err
	}
	return policyToProto(p), nil
}

// policy returns a policy to which the caller may do something.
func (h policyHandler) policy(ctx context.Context, action policy.Action, name string) (admin.Policy, error) {
	id := lastPart(name)
	p, err := h.policies.Policy(ctx, id)
	if errors.Is(err, admin.ErrPolicyNotFound) {
		// Who may not read policies is told so, whether there is this one or not.
		p = admin.Policy{ID: id}
	} else if err != nil {
		return admin.Policy{}, err
	}
	if denied := h.authorize(ctx, action, policyResource(id, p.Shown()), hiddenPolicy(id)); denied != nil {
		return admin.Policy{}, denied
	}
	if err != nil {
		return admin.Policy{}, hiddenPolicy(id)
	}
	return p, nil
}

// ListPolicies returns a page of policies.
func (h policyHandler) ListPolicies(ctx context.Context, req *policyv1.ListPoliciesRequest) (*policyv1.ListPoliciesResponse, error) {
	caller, list := interceptor.Principal(ctx), []string{"policies"}
	if err := h.authorize(ctx, policy.ListPolicies, installation(), nil); err != nil {
		return nil, err
	}
	var place policyPlace
	if req.GetPageToken() != "" {
		if err := h.tokens.read(caller, list, req.GetPageToken(), &place); err != nil {
			return nil, err
		}
	}
	policies, last, more, err := fillPage(pageSize(req.GetPageSize()), func(after *admin.Policy, limit int) ([]admin.Policy, bool, error) {
		if after != nil {
			place.Policy = after.ID
		}
		return h.policies.Policies(ctx, place.Policy, limit)
	}, func(p *admin.Policy) bool { return h.may(ctx, policy.GetPolicy, policyResource(p.ID, p.Shown())) })
	if err != nil {
		return nil, err
	}
	res := &policyv1.ListPoliciesResponse{Policies: make([]*policyv1.Policy, len(policies))}
	for i, p := range policies {
		res.Policies[i] = policyToProto(p)
	}
	if more {
		if res.NextPageToken, err = h.tokens.write(caller, list, policyPlace{Policy: last.ID}); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// policyVersion ties a write to the version of a policy that the caller may change.
func (h policyHandler) policyVersion(ctx context.Context, action policy.Action, name, etag string) versions[admin.Policy] {
	return versions[admin.Policy]{
		etag: etag, mismatch: admin.ErrEtagMismatch, of: func(p admin.Policy) string { return p.Etag },
		read: func() (admin.Policy, error) { return h.policy(ctx, action, name) },
	}
}

// UpdatePolicy changes the mode or the description of a policy.
func (h policyHandler) UpdatePolicy(ctx context.Context, req *policyv1.UpdatePolicyRequest) (*policyv1.Policy, error) {
	in := req.GetPolicy()
	if in.GetName() == "" {
		return nil, errNameMissing("policy.name", "policies/office")
	}
	fields, err := maskFields(req.GetUpdateMask(), in, []string{"mode", "description", "shadow_version"})
	if err != nil {
		return nil, err
	}
	mode := modeOf(in.GetMode())
	switch {
	case fields["mode"] && mode == "":
		return nil, &invalidError{field: "policy.mode", problem: "it is ENFORCE, SHADOW or DISABLED"}
	case fields["shadow_version"] && in.GetShadowVersion() != 0:
		return nil, &invalidError{field: "policy.shadow_version", problem: "it can only become 0; a version is tried with ApplyPolicy"}
	}
	caller := interceptor.Principal(ctx)
	was, is, revision, err := h.policyVersion(ctx, policy.UpdatePolicy, in.GetName(), in.GetEtag()).write(
		func(p admin.Policy, etag string) (admin.Policy, int64, error) {
			return h.policies.UpdatePolicy(ctx, &caller, p.ID, admin.PolicyUpdate{
				Mode: when(fields["mode"], mode), Description: when(fields["description"], in.GetDescription()),
				DiscardShadow: fields["shadow_version"], Replay: replayID(req.GetReplay()), Etag: etag,
			})
		})
	if err != nil {
		return nil, err
	}
	return h.changedPolicy(ctx, policyToProto(was), is, revision), nil
}

// RollbackPolicy brings an old text of a policy into force.
func (h policyHandler) RollbackPolicy(ctx context.Context, req *policyv1.RollbackPolicyRequest) (*policyv1.Policy, error) {
	caller := interceptor.Principal(ctx)
	was, is, revision, err := h.policyVersion(ctx, policy.RollbackPolicy, req.GetName(), req.GetEtag()).write(
		func(p admin.Policy, etag string) (admin.Policy, int64, error) {
			return h.policies.Rollback(ctx, &caller, p.ID, req.GetVersion(), req.GetComment(), etag)
		})
	if err != nil {
		return nil, err
	}
	return h.changedPolicy(ctx, policyToProto(was), is, revision), nil
}

// DeletePolicy removes a policy.
func (h policyHandler) DeletePolicy(ctx context.Context, req *policyv1.DeletePolicyRequest) (*emptypb.Empty, error) {
	caller := interceptor.Principal(ctx)
	was, _, revision, err := h.policyVersion(ctx, policy.DeletePolicy, req.GetName(), req.GetEtag()).write(
		func(p admin.Policy, etag string) (admin.Policy, int64, error) {
			revision, err := h.policies.DeletePolicy(ctx, &caller, p.ID, etag)
			return admin.Policy{}, revision, err
		})
	if err != nil {
		return nil, err
	}
	recordChange(ctx, policyToProto(was), nil, revision)
	h.rollOut(ctx, revision) // which sets the header: there is no room in the message
	return &emptypb.Empty{}, nil
}

// versionPage is the number of versions of a page unless another one is asked for.
const versionPage = 20

// ListPolicyVersions returns a page of the versions of a policy.
func (h policyHandler) ListPolicyVersions(
	ctx context.Context, req *policyv1.ListPolicyVersionsRequest,
) (*policyv1.ListPolicyVersionsResponse, error) {
	p, err := h.policy(ctx, policy.ListPolicyVersions, req.GetParent())
	if err != nil {
		return nil, err
	}
	caller, list := interceptor.Principal(ctx), []string{"versions", p.ID, p.UID.String()}
	var place versionPlace
	if req.GetPageToken() != "" {
		if err := h.tokens.read(caller, list, req.GetPageToken(), &place); err != nil {
			return nil, err
		}
	}
	size := versionPage
	if req.GetPageSize() > 0 {
		size = int(req.GetPageSize())
	}
	versions, more, err := h.policies.Versions(ctx, &p, place.Before, size)
	if err != nil {
		return nil, err
	}
	res := &policyv1.ListPolicyVersionsResponse{Versions: make([]*policyv1.PolicyVersion, len(versions))}
	for i, v := range versions {
		res.Versions[i] = versionToProto(&p, v)
	}
	if more {
		if res.NextPageToken, err = h.tokens.write(caller, list, versionPlace{Before: versions[len(versions)-1].Number}); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// GetSchema returns the schema of policies.
func (h policyHandler) GetSchema(ctx context.Context, _ *policyv1.GetSchemaRequest) (*policyv1.GetSchemaResponse, error) {
	if err := h.authorize(ctx, policy.GetSchema, installation(), nil); err != nil {
		return nil, err
	}
	return &policyv1.GetSchemaResponse{Schema: policy.Schema()}, nil
}
