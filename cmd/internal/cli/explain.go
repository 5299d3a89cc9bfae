package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [RULE]",
		Short: "what a rule wants, where that is written, and what it says",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("certstamp explain dns-names", "explain takes one rule, got %q", args)
			}
			p, err := policies.Default()
			if err != nil {
				return err
			}
			all := validate.Explain(p)
			if len(args) == 0 {
				a.doc.Rules = all
				return nil
			}
			for _, e := range all {
				if strings.EqualFold(e.ID, args[0]) || strings.EqualFold(e.Name, args[0]) {
					a.doc.Rules = []validate.Explanation{e}
					return nil
				}
			}
			hint := "certstamp explain lists the rules"
			if near := nearRules(all, args[0]); len(near) > 0 {
				hint = "did you mean " + strings.Join(near, " or ") + "?"
			}
			return usagef(hint, "no rule is named %q", args[0])
		},
	}
}

// nearRules are the rules whose names are almost the one that was typed. cobra knows how to find those among commands.
func nearRules(all []validate.Explanation, typed string) []string {
	names := &cobra.Command{SuggestionsMinimumDistance: 3}
	for _, e := range all {
		names.AddCommand(&cobra.Command{Use: e.ID, Run: func(*cobra.Command, []string) {}})
	}
	return names.SuggestionsFor(strings.ReplaceAll(strings.ToLower(typed), " ", "-"))
}
