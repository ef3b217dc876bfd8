package fields

import "slices"

// With returns a registry that has more fields. It panics as NewRegistry does.
func (r *Registry) With(more ...Field) *Registry {
	all := slices.Clone(more)
	for _, f := range r.byName {
		all = append(all, *f)
	}
	extended := *r
	extended.byName = NewRegistry(r.Source, all).byName
	return &extended
}
