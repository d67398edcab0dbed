package api

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/emptypb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
)

// idPlace is a place in a list of what belongs to no team, as page tokens hold it.
type idPlace struct {
	ID string `json:"i"`
}

// CreateUser makes a user.
func (h identityHandler) CreateUser(ctx context.Context, req *identityv1.CreateUserRequest) (*identityv1.User, error) {
	if err := h.authorize(ctx, policy.CreateUser, installation(), nil); err != nil {
		return nil, err
	}
	in := req.GetUser()
	if in.GetIssuer() == "" {
		return nil, &invalidError{field: "user.issuer", problem: `is required, for example "issuers/okta"`}
	}
	u, revision, err := h.identity.CreateUser(ctx, interceptor.Principal(ctx).Name, identity.UserDraft{
		Issuer: lastPart(in.GetIssuer()), Subject: in.GetSubject(), DisplayName: in.GetDisplayName(), Email: in.GetEmail(), Disabled: in.GetDisabled(),
	})
	if err != nil {
		return nil, err
	}
	recordChange(ctx, nil, userToProto(u), revision)
	h.sync(ctx, revision)
	return userToProto(u), nil
}

// GetUser returns one user.
func (h identityHandler) GetUser(ctx context.Context, req *identityv1.GetUserRequest) (*identityv1.User, error) {
	u, err := h.user(ctx, policy.GetUser, req.GetName())
	if err != nil {
		return nil, err
	}
	return userToProto(u), nil
}

// user returns a user to whom the caller may do something.
func (h identityHandler) user(ctx context.Context, action policy.Action, name string) (identity.User, error) {
	hidden := &hiddenError{resource: name, cause: identity.ErrUserNotFound}
	u, err := h.identity.User(ctx, lastPart(name))
	if errors.Is(err, identity.ErrUserNotFound) {
		return identity.User{}, hidden
	}
	if err != nil {
		return identity.User{}, err
	}
	return u, h.authorize(ctx, action, userResource(&u), hidden)
}

// ListUsers returns a page of users.
func (h identityHandler) ListUsers(ctx context.Context, req *identityv1.ListUsersRequest) (*identityv1.ListUsersResponse, error) {
	if err := h.authorize(ctx, policy.ListUsers, installation(), nil); err != nil {
		return nil, err
	}
	caller, list := interceptor.Principal(ctx), []string{"users", req.GetIssuer()}
	if req.GetDisabledOnly() {
		list = append(list, "disabled")
	}
	q := identity.UserQuery{Issuer: lastPart(req.GetIssuer()), DisabledOnly: req.GetDisabledOnly()}
	if req.GetPageToken() != "" {
		var place idPlace
		if err := h.tokens.read(caller, list, req.GetPageToken(), &place); err != nil {
			return nil, err
		}
		q.After = place.ID
	}
	users, last, more, err := fillPage(pageSize(req.GetPageSize()), func(after *identity.User, limit int) ([]identity.User, bool, error) {
		if q.Limit = limit; after != nil {
			q.After = after.ID
		}
		return h.identity.Users(ctx, q)
	}, func(u *identity.User) bool { return h.may(ctx, policy.GetUser, userResource(u)) })
	if err != nil {
		return nil, err
	}
	res := &identityv1.ListUsersResponse{Users: make([]*identityv1.User, len(users))}
	for i, u := range users {
		res.Users[i] = userToProto(u)
	}
	if more {
		if res.NextPageToken, err = h.tokens.write(caller, list, idPlace{ID: last.ID}); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// UpdateUser changes a user.
func (h identityHandler) UpdateUser(ctx context.Context, req *identityv1.UpdateUserRequest) (*identityv1.User, error) {
	in := req.GetUser()
	if in.GetName() == "" {
		return nil, errNameMissing("user.name", "users/okta~ada")
	}
	fields, err := maskFields(req.GetUpdateMask(), in, []string{"display_name", "email", "disabled"})
	if err != nil {
		return nil, err
	}
	return h.updateUser(ctx, policy.UpdateUser, in.GetName(), identity.UserUpdate{
		DisplayName: when(fields["display_name"], in.GetDisplayName()), Email: when(fields["email"], in.GetEmail()),
		Disabled: when(fields["disabled"], in.GetDisabled()), Etag: in.GetEtag(),
	})
}

// DisableUser refuses a user.
func (h identityHandler) DisableUser(ctx context.Context, req *identityv1.DisableUserRequest) (*identityv1.User, error) {
	return h.updateUser(ctx, policy.DisableUser, req.GetName(), identity.UserUpdate{Disabled: when(true, true)})
}

func (h identityHandler) updateUser(ctx context.Context, action policy.Action, name string, up identity.UserUpdate) (*identityv1.User, error) {
	was, is, revision, err := h.userVersion(ctx, action, name, up.Etag).write(func(u identity.User, etag string) (identity.User, int64, error) {
		up.Etag = etag
		return h.identity.UpdateUser(ctx, interceptor.Principal(ctx).Name, u.UID, up)
	})
	if err != nil {
		return nil, err
	}
	recordChange(ctx, userToProto(was), userToProto(is), revision)
	confirmed := h.rollOut(ctx, revision)
	out := userToProto(is)
	out.Rollout = confirmed
	return out, nil
}

// userVersion ties a write to the version of a user that the caller may change.
func (h identityHandler) userVersion(ctx context.Context, action policy.Action, name, etag string) versions[identity.User] {
	return versions[identity.User]{
		etag: etag, mismatch: identity.ErrEtagMismatch, of: func(u identity.User) string { return u.Etag },
		read: func() (identity.User, error) { return h.user(ctx, action, name) },
	}
}

// DeleteUser removes a user.
func (h identityHandler) DeleteUser(ctx context.Context, req *identityv1.DeleteUserRequest) (*emptypb.Empty, error) {
	was, _, revision, err := h.userVersion(ctx, policy.DeleteUser, req.GetName(), req.GetEtag()).write(
		func(u identity.User, etag string) (identity.User, int64, error) {
			revision, err := h.identity.DeleteUser(ctx, interceptor.Principal(ctx).Name, u.UID, etag)
			return identity.User{}, revision, err
		})
	if err != nil {
		return nil, err
	}
	recordChange(ctx, userToProto(was), nil, revision)
	h.rollOut(ctx, revision)
	return &emptypb.Empty{}, nil
}
