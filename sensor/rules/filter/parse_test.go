package filter_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/saker-security/saker/sensor/rules/filter"
)

func TestConditionsMeanWhatPrecedenceSays(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"a", "a"},
		{"a or b and c", "a or (b and c)"},
		{"(a or b) and c", "(a or b) and c"},
		{"not a and b", "not a and b"},
		{"not (a and b)", "not (a and b)"},
		{"not(a or b)", "not (a or b)"},
		{"not not a", "a"},
		{"not not not a", "not a"},
		{"not not(a)", "a"},
		{"a and(b or c)", "a and (b or c)"},
		{"((((a))))", "a"},
		{"\b\t\r\n a \b", "a"},

		{"evt.type=open", "evt.type = open"},
		{"evt.type == open", "evt.type = open"},
		{"fd.name!=x", "fd.name != x"},
		{"fd.num>=0", "fd.num >= 0"},
		{"fd.num < 0x1F", "fd.num < 0x1F"},
		{"fd.num <= +1.5e-3", "fd.num <= +1.5e-3"},
		{"proc.name exists", "proc.name exists"},
		{"proc.name in (a,b , c)", "proc.name in (a, b, c)"},
		{"proc.name in(a)", "proc.name in (a)"},
		{"proc.name in ()", "proc.name in ()"},
		{"proc.name in some_list", "proc.name in (some_list)"},
		{"fd.name pmatch (/var, /etc)", "fd.name pmatch (/var, /etc)"},
		{"proc.name icontains x and a", "proc.name icontains x and a"},
		{"a.b bstartswith cafe", "a.b bstartswith cafe"},

		{"proc.aname[2]=sshd", "proc.aname[2] = sshd"},
		{`jevt.value["/a b/c"] exists`, `jevt.value["/a b/c"] exists`},
		{"container.mount.dest[/proc*] in (x)", "container.mount.dest[/proc*] in (x)"},

		{"proc.pname=runc:[0:PARENT]", "proc.pname = runc:[0:PARENT]"},
		{"x.y=/healthz?", "x.y = /healthz?"},
		{"x.y=*", "x.y = *"},
		{`x.y='it is'`, `x.y = "it is"`},
		{`x.y="a\"b\\c\/d\ e\n"`, `x.y = "a\"b\\c/d\\e\n"`},
		{`x.y='a\'b'`, `x.y = "a'b"`},
		{`x.y='a\\'b'`, `x.y = "a\\'b"`},
		{`x.y="a\\" or b`, `x.y = "a\\" or b`},
		{`x.y="C:\\" and z.y="D:\\"`, `x.y = "C:\\" and z.y = "D:\\"`},
		{`x.y = "" or b`, `x.y = "" or b`},

		{"x.y startswith oneof (a, b)", "x.y startswith oneof (a, b)"},
		{"x.y = anyof (a)", "x.y = anyof (a)"},
		{"x.y !=  allof some", "x.y != allof (some)"},
		{"x.y contains oneof and b", "x.y contains oneof and b"},
		{"x.y contains oneof", "x.y contains oneof"},
		{"x.y = oneof or b", "x.y = oneof or b"},
		{"x.y = anyof nothing", "x.y = anyof (nothing)"},

		{"tolower(proc.name) = x", "tolower(proc.name) = x"},
		{"len(join(\",\", (proc.name, \"b\", 3))) > 3", "len(join(\",\", (proc.name, \"b\", 3))) > 3"},
		{"getopt(proc.args, \"a:\")[a] = x", "getopt(proc.args, \"a:\")[a] = x"},
		{"fd.name = val(proc.exe)", "fd.name = val(proc.exe)"},
		{"fd.name = val( proc.aname[1] )", "fd.name = val(proc.aname[1])"},
		{"proc.name in val(proc.aname[1])", "proc.name in val(proc.aname[1])"},
		{"proc.name in toupper( proc.exe )", "proc.name in toupper(proc.exe)"},
		{`proc.name = "tolower(proc.exe)"`, `proc.name = "tolower(proc.exe)"`},
	} {
		e, err := filter.Parse(tt.in)
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		if got := filter.Format(e); got != tt.want {
			t.Errorf("%q reads as %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestSyntaxErrorsSayWhereAndWhatIsWanted(t *testing.T) {
	for _, tt := range []struct {
		in   string
		at   int
		want string
	}{
		{"", 0, "unexpected the end, want a field, a macro or '('"},
		{"a b", 2, `unexpected "b", want 'and', 'or' or the end`},
		{"a and", 5, "unexpected the end, want a blank or '(' after 'and'"},
		{"a and ", 6, "unexpected the end, want a field, a macro or '('"},
		{"a andb", 5, `unexpected "b", want a blank or '(' after 'and'`},
		{"a or(b)and c", 7, `unexpected "and", want 'and', 'or' or the end`},
		{"a AND b", 2, `unexpected "AND", want 'and', 'or' or the end`},
		{"(a and b", 0, "the '(' here is never closed"},
		{"(a b)", 3, `unexpected "b)", want 'and', 'or' or ')'`},
		{"a)", 1, `unexpected ")", want 'and', 'or' or the end`},
		{"proc.name", 9, "unexpected the end, want an operator such as =, !=, in, startswith or exists"},
		{"proc.name is x", 10, `unexpected "is", want an operator such as =, !=, in, startswith or exists`},
		{"proc.name contains(x)", 10, `unexpected "contains(x)", want an operator such as =, !=, in, startswith or exists`},
		{"proc.name bendswith x", 10, `unexpected "bendswith", want an operator such as =, !=, in, startswith or exists`},
		{"proc.name = ", 12, "unexpected the end, want a value"},
		{"proc.name = (a)", 12, `unexpected "(a)", want a value`},
		{"fd.num > x", 9, `unexpected "x", want a number, val(field) or a transformer`},
		{"proc.name in (a b)", 16, `unexpected "b)", want ',' or ')'`},
		{"proc.name in (a,)", 16, `unexpected ")", want a value`},
		{"proc.name in (val(proc.exe))", 17, `unexpected "(proc.exe))", want ',' or ')'`},
		{`proc.name = "abc`, 12, `the string that starts here has no closing "`},
		{`proc.name = "a\xC3"`, 14, `invalid escape \x in a string quoted with "; write \\ for a backslash`},
		{`proc.name = "a\'b"`, 14, `invalid escape \' in a string quoted with "; write \\ for a backslash`},
		{"proc.name = \"a\x00b\"", 12, "a string must not contain a NUL byte"},
		{"proc.aname[2 = x", 12, `unexpected a blank, want ']'`},
		{"proc.aname[] = x", 11, `unexpected "]", want the argument of a field`},
		{"tolower(abc) = x", 8, `unexpected "abc)", want a field, a transformer, a quoted string or a number`},
		{"x.y = val(abc)", 10, `unexpected "abc)", want a field in val(…)`},
		{"x.y = val(a.b)[1]", 14, "val(…) takes no argument in brackets; write it behind the field"},
		{"x.y contains oneof(a)", 18, `unexpected "(a)", want 'and', 'or' or the end`},
		{strings.Repeat("(", filter.MaxDepth+1) + "a", filter.MaxDepth + 1, "nested more than 10000 deep"},
	} {
		_, err := filter.Parse(tt.in)
		syntax, ok := errors.AsType[*filter.SyntaxError](err)
		in := tt.in[:min(len(tt.in), 40)]
		if !ok {
			t.Errorf("%q: got %v, want a syntax error", in, err)
			continue
		}
		if syntax.Msg != tt.want || syntax.Offset != tt.at {
			t.Errorf("%q: got %d: %s\nwant %d: %s", in, syntax.Offset, syntax.Msg, tt.at, tt.want)
		}
	}
}

func TestDeepNestingLoads(t *testing.T) {
	n := filter.MaxDepth - 1
	if _, err := filter.Parse(strings.Repeat("(", n) + "a" + strings.Repeat(")", n)); err != nil {
		t.Error(err)
	}
	if _, err := filter.Parse(strings.Repeat("not ", 100_000) + "a"); err != nil {
		t.Error(err)
	}
}

func TestOperatorsOfExceptions(t *testing.T) {
	for in, want := range map[string]string{
		"=": "= ", "==": "= ", "!=": "!= ", "in": "in ", "pmatch": "pmatch ", "exists": "exists ", "<=": "<= ",
		"startswith": "startswith ", "startswith oneof": "startswith oneof", "= anyof": "= anyof", "contains  allof": "contains allof",
		"": "none", "oneof": "none", "in oneof": "none", "> anyof": "none", "startswith x": "none", "= =": "none", "inx": "none",
	} {
		got := "none"
		if op, mod, ok := filter.ParseOp(in); ok {
			got = op.String() + " " + mod.String()
		}
		if got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func FuzzParseCondition(f *testing.F) {
	for _, s := range []string{
		"evt.type in (open, openat) and not proc.name = \"a b\"", "x.y startswith oneof (a)", "len(join(',', (a.b, 'c'))) >= 0x3",
		"getopt(proc.args, \"a:\")[a] exists or (m and not n)", "x.y = val(z.w[1])", "a.b[\"x y\"] pmatch (/a, '/b*')", "not not(a)", `x.y='\'\\\/'`,
	} {
		f.Add(s)
	}
	ignore := cmpopts.IgnoreFields(filter.Check{}, "Pos", "OpPos")
	opts := cmp.Options{
		ignore,
		cmpopts.IgnoreFields(filter.And{}, "Pos"), cmpopts.IgnoreFields(filter.Or{}, "Pos"), cmpopts.IgnoreFields(filter.Not{}, "Pos"),
		cmpopts.IgnoreFields(filter.Macro{}, "Pos"), cmpopts.IgnoreFields(filter.Field{}, "Pos", "ArgPos"), cmpopts.IgnoreFields(filter.Call{}, "Pos"),
		cmpopts.IgnoreFields(filter.Value{}, "Pos", "Quoted"), cmpopts.IgnoreFields(filter.List{}, "Pos"),
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := filter.Parse(s)
		if err != nil {
			if syntax, ok := errors.AsType[*filter.SyntaxError](err); !ok || syntax.Offset < 0 || syntax.Offset > len(s) {
				t.Fatalf("%q: %#v", s, err)
			}
			return
		}
		text := filter.Format(e)
		again, err := filter.Parse(text)
		if err != nil {
			t.Fatalf("%q is printed as %q, which does not parse: %v", s, text, err)
		}
		if diff := cmp.Diff(e, again, opts); diff != "" {
			t.Fatalf("%q is printed as %q, which means something else:\n%s", s, text, diff)
		}
	})
}
