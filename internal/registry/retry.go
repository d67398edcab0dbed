package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// retryParallel bounds how many agents are asked for their cards at one time.
const retryParallel = 8

// backgroundAuthor stands in the history for changes that the gateway itself makes.
const backgroundAuthor = "signalbox"

// search is the state of the search for one agent's card.
type search struct {
	due   time.Time
	delay time.Duration
}

// Run searches for the cards of agents that were created without one, until ctx
// ends. Every replica searches; the first one to find a card writes it, and the
// others see that it is there.
func (s *Service) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.retryMin)
	defer ticker.Stop()
	searches := map[uuid.UUID]*search{}
	failing := false // one line for each outage of the database is enough
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := s.searchDue(ctx, searches)
		if err != nil && ctx.Err() == nil && !failing {
			s.log.LogAttrs(ctx, slog.LevelWarn, "search for missing agent cards failed", slog.Any("error", err))
		}
		failing = err != nil
	}
}

// searchDue searches for every card that is due.
func (s *Service) searchDue(ctx context.Context, searches map[uuid.UUID]*search) error {
	missing, err := s.store.AgentsWithoutCard(ctx)
	if err != nil {
		return err
	}
	now := s.clock.Now()
	present := make(map[uuid.UUID]bool, len(missing))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(retryParallel)
	for _, uid := range missing {
		present[uid] = true
		one, ok := searches[uid]
		if !ok {
			one = &search{delay: s.retryMin}
			searches[uid] = one
		}
		if now.Before(one.due) {
			continue
		}
		one.due = now.Add(one.delay)
		one.delay = min(2*one.delay, s.retryMax)
		group.Go(func() error {
			s.searchOne(groupCtx, uid)
			return nil
		})
	}
	for uid := range searches {
		if !present[uid] {
			delete(searches, uid)
		}
	}
	return group.Wait()
}

// searchOne asks one agent for its card and stores it.
func (s *Service) searchOne(ctx context.Context, uid uuid.UUID) {
	was, err := s.store.AgentByUID(ctx, uid)
	if err != nil || was.CardSource != CardNone {
		return // deleted, or found by another replica; an outage shows in the next list
	}
	found := s.fetchCard(ctx, &was)
	if found.source == CardNone {
		return
	}
	next := was
	found.set(&next)
	if err := s.verifyCard(&next); err != nil {
		next = was
		next.CardVerification = CardVerification{State: CardInvalid}
		next.Warnings = []string{clip(fmt.Sprintf("the card of the agent at %s is not used: %v", was.Endpoints[0].URL, err))}
		if same(was, next) {
			return // said before
		}
	}
	next.Revision++
	if err := s.checkTrusted(ctx, &next); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "agent card found but not usable", slog.String("agent", was.Name()), slog.Any("error", err))
		return
	}
	_, _, err = s.store.UpdateAgent(ctx, backgroundAuthor, uid, func(a *Agent) (bool, error) {
		if a.Etag != was.Etag {
			return false, errMoved // the next search reads it anew
		}
		*a = next
		a.UpdateTime = s.now()
		return true, nil
	})
	switch {
	case err == nil && next.CardSource == CardNone:
		s.log.LogAttrs(ctx, slog.LevelWarn, "agent card found whose signature does not verify", slog.String("agent", was.Name()))
	case err == nil:
		s.log.LogAttrs(ctx, slog.LevelInfo, "agent card found", slog.String("agent", was.Name()))
	case errors.Is(err, errMoved), errors.Is(err, ErrAgentNotFound), ctx.Err() != nil:
	default:
		s.log.LogAttrs(ctx, slog.LevelWarn, "agent card found but not stored", slog.String("agent", was.Name()), slog.Any("error", err))
	}
}
