package probe

// MaxClauses is how many clauses an Interest may have.
const MaxClauses = 64

// Clause is one way in which a system call can matter to the rules. A call whose kind has
// clauses is reported only if one of them holds; one whose kind has none is always reported.
// Every member that is set narrows the clause, so the zero Clause always holds. What the
// kernel cannot tell of a call counts as holding.
type Clause struct {
	// Kinds are those that the clause is about, at least one.
	Kinds []Kind
	// Results narrows to calls that succeeded or that failed; a connect that is in progress
	// (EINPROGRESS) is both.
	Results Results
	// Values narrows to calls that returned one of at most 8 values. Beyond 64 values in all
	// clauses the further ones' narrow nothing.
	Values []int64
	// Opens narrows opens to those that ask for at least one of the classes.
	Opens OpenClass
	// Paths narrows opens to those of certain paths.
	Paths *Paths
	// Families narrows connect, accept, bind, listen, socket, and the calls that send and
	// receive, to those on sockets of a family: bit f stands for family f, families from 64
	// on always hold. A socket call that failed is judged by the family that it asked for;
	// others hold where there is no descriptor.
	Families uint64
	// Protocols narrows calls on sockets of the families AF_INET and AF_INET6; others do not
	// hold.
	Protocols Protocols
	// Judged says that the clause also depends on facts of the process that stay what they
	// are until it executes another program: Probe.Judge tells for which processes it cannot
	// hold.
	Judged bool
}

// Results is a set of outcomes of a call; zero is both.
type Results uint8

// The outcomes.
const (
	Succeeded Results = 1 << iota
	Failed
)

// Protocols is a set of transport protocols; zero is all of them and sockets of any family.
type Protocols uint8

// The protocols.
const (
	TCP Protocols = 1 << iota
	UDP
	OtherProtocol
)

// Paths is a set of paths. They are compared with the absolute path of the call: its
// argument, joined with the folder that it starts from. An argument that is not in normal
// form (that has "//", "/./", "/../" or the like), cannot be read, or starts from a folder
// that is not known is in every set, and so is one where it or the folder has 512 bytes or
// more.
type Paths struct {
	// Equal are whole paths, Prefixes and Suffixes their beginnings and ends, Parts what
	// stands anywhere in them.
	Equal, Prefixes, Suffixes, Parts []string
	// Directories are paths of folders without a slash at the end ("/" for the root): the
	// path lies directly in one. Names are last components.
	Directories, Names []string
}
