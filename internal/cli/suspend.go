package cli

import (
	"github.com/spf13/cobra"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
)

func (p *program) agentsSuspend() *cobra.Command {
	var reason, etag string
	cmd := &cobra.Command{
		Use: "suspend NAME", Short: "Stop an agent at once, until it is resumed", Args: cobra.ExactArgs(1),
		Long: `Stop an agent at once, until it is resumed: new calls are refused within a second, open
streams end within five, and the tasks that they worked on are cancelled. Replicas that
have not confirmed it are listed; repeat the command to ask them again.`,
		Example:           `  signalbox agents suspend weather --reason "answers with other people's data"`,
		ValidArgsFunction: p.completing(agentNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			agent, err := m.registry.SuspendAgent(cmd.Context(), &registryv1.SuspendAgentRequest{
				Name: full(agentsCollection, args[0]), Reason: reason, Etag: etag,
			})
			if err != nil {
				return doingf(err, "suspend agent %s", args[0])
			}
			return p.printConfirmed(m, agent)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people; it is shown with the agent and kept in the history")
	addEtag(cmd, &etag)
	return cmd
}

func (p *program) agentsResume() *cobra.Command {
	var reason, etag string
	cmd := &cobra.Command{
		Use: "resume NAME", Short: "End the suspension of an agent", Args: cobra.ExactArgs(1),
		Long:              "End the suspension of an agent: it has the state again that it had before.",
		ValidArgsFunction: p.completing(agentNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			agent, err := m.registry.ResumeAgent(cmd.Context(), &registryv1.ResumeAgentRequest{
				Name: full(agentsCollection, args[0]), Reason: reason, Etag: etag,
			})
			if err != nil {
				return doingf(err, "resume agent %s", args[0])
			}
			return p.printConfirmed(m, agent)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people; it is kept in the history")
	addEtag(cmd, &etag)
	return cmd
}

// printConfirmed prints an agent and which replicas serve it like that.
func (p *program) printConfirmed(m *management, a *registryv1.Agent) error {
	if err := p.printAgent(m, a); err != nil {
		return err
	}
	p.confirmed(a.GetRollout())
	return nil
}
