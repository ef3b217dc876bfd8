package e2e

import "testing"

// Why our own rules do not look for an attack.
const (
	inVain    = "it comes to nothing, and ours are about what succeeded"
	everyday  = "it is what programs do all day"
	notRun    = "ours look for the program that runs and was not in the image"
	byOutcome = "ours look at what such a program does, not at its name"
)

// notOurs are the attacks that our own rules do not look for, with the reason.
var notOurs = map[string]string{
	"System user interactive":                            "ours are about shells and logins in a terminal",
	"Schedule Cron Jobs":                                 byOutcome,
	"Change thread namespace":                            "on a host it is what container runtimes and administrators do",
	"Change namespace privileges via unshare":            inVain,
	"Unexpected UDP Traffic":                             everyday,
	"Non sudo setuid":                                    everyday,
	"User mgmt binaries":                                 byOutcome,
	"Network Connection outside Local Subnet":            "it says something only where somebody has named closed namespaces",
	"Mount Launched in Privileged Container":             byOutcome,
	"Launch Ingress Remote File Copy Tools in Container": byOutcome,
	"BPF Program Not Profiled":                           inVain,
	"Unexpected inbound connection source":               everyday,
	"Read Shell Configuration File":                      everyday,
	"Interpreted procs inbound network activity":         everyday,
	"Interpreted procs outbound network activity":        everyday,
	"Create Hidden Files or Directories":                 everyday,
	"Java Process Class File Download":                   "ours look for what the class does afterwards, and spare the reading of all that is received",
	"Modify Container Entrypoint":                        "its own file is not the runtime's",
	"Decoding Payload in Container":                      "ours look for a shell that runs what was decoded",
	"Basic Interactive Reconnaissance":                   everyday,
	"Reverse Shell from Web Server":                      "the text alone, without a shell or a connection, is nothing",
	"Container Access to Host Sensitive Paths":           "somebody has given the folder to the container",

	"Write below root":                       everyday,
	"Mkdir binary dirs":                      notRun,
	"Container Drift Detected (chmod)":       notRun,
	"Container Drift Detected (open+create)": notRun,

	"Container drift by creat":                        notRun,
	"Make a folder of programs by mkdir":              notRun,
	"Directory traversal to a file that is not there": inVain,
	"Read ssh information of another user":            "the names of known hosts are no secret of great worth",
	"Change thread namespace in a container, in vain": inVain,
	"Unexpected UDP traffic over IPv6":                everyday,
	"Set setgid bit by chmod":                         "shared folders have it",
}

// checkOurs checks that our own rules have found an attack, if it is theirs.
func checkOurs(t *testing.T, a attack, got []alert) {
	t.Helper()
	why, not := notOurs[a.mark()]
	switch {
	case not && len(got) > 0:
		t.Errorf("our own rules find it, which is said not to be theirs because %s:%s", why, list(got))
	case !not && len(got) == 0 && len(a.want) > 0:
		t.Error("none of our own rules finds it")
	}
}
