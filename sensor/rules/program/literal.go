package program

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules/filter"
)

// checkLiteral reports a literal that the field's type or the operator does not take.
func (c *compiler) checkLiteral(op filter.Op, s *slot, v *filter.Value) bool {
	var err error
	switch {
	case s.field != nil && s.field.Resolves:
		if v.Text == "" {
			err = errors.New("the host name is empty")
		}
	case isText(s.typ), s.typ == fields.Bytes:
		switch op {
		case filter.Regex:
			_, err = compileRegex(v.Text)
		case filter.BContains, filter.BStartsWith:
			if _, bad := hex.DecodeString(v.Text); bad != nil {
				err = fmt.Errorf("%q is not a string of hexadecimal bytes", v.Text)
			}
		}
	case s.typ == fields.IP:
		_, err = parseAddr(v.Text)
	case s.typ == fields.Net:
		_, err = parseNet(v.Text)
	default:
		_, err = parseNumber(s.typ, v.Text)
	}
	if err != nil {
		c.problem(v.Pos, Invalid, "%v", err)
	}
	return err == nil
}

func unhex(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		b, _ := hex.DecodeString(v)
		out[i] = string(b)
	}
	return out
}

// parseNumber reads a literal of a number, port or bool. A number is decimal, with an
// optional sign; one beyond the range counts as the nearest, and a negative one for an
// unsigned type as its two's complement.
func parseNumber(t fields.Type, s string) (uint64, error) {
	switch t {
	case fields.Bool:
		switch s {
		case "true":
			return 1, nil
		case "false":
			return 0, nil
		}
		return 0, fmt.Errorf("want true or false, not %q", s)
	case fields.Port:
		return parsePort(s)
	}
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, fmt.Errorf("want a decimal number, not %q", s)
	}
	if t == fields.Int || s[0] == '-' {
		n, _ := strconv.ParseInt(s, 10, 64)
		return uint64(n), nil
	}
	n, _ := strconv.ParseUint(digits, 10, 64)
	return n, nil
}

func parsePort(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	if strings.Trim(s, "0123456789") == "" {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("the port %q is greater than 65535", s)
		}
		return n, nil
	}
	if n, ok := services[s]; ok {
		return uint64(n), nil
	}
	return 0, fmt.Errorf("want a port number or the name of a service, not %q", s)
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("want an IP address, not %q", s)
	}
	return a.Unmap(), nil
}

func parseNet(s string) (netip.Prefix, error) {
	n, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("want a network such as 10.0.0.0/8, not %q", s)
	}
	return n.Masked(), nil
}

// compileRegex compiles a POSIX regular expression that must match the whole text.
func compileRegex(s string) (*regexp.Regexp, error) {
	re, err := syntax.Parse(s, syntax.POSIX)
	if err != nil {
		return nil, fmt.Errorf("invalid regular expression: %w", err)
	}
	full, err := regexp.Compile(`\A(?:` + re.String() + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("invalid regular expression: %w", err)
	}
	return full, nil
}

// services are the ports of names that may stand for a port in a condition.
var services = map[string]uint16{
	"echo": 7, "discard": 9, "systat": 11, "daytime": 13, "netstat": 15, "chargen": 19,
	"ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "mail": 25, "time": 37,
	"whois": 43, "tacacs": 49, "domain": 53, "bootps": 67, "bootpc": 68, "tftp": 69,
	"gopher": 70, "finger": 79, "http": 80, "www": 80, "kerberos": 88, "pop3": 110,
	"sunrpc": 111, "portmapper": 111, "auth": 113, "nntp": 119, "ntp": 123, "netbios-ns": 137,
	"netbios-dgm": 138, "netbios-ssn": 139, "imap2": 143, "imap": 143, "snmp": 161,
	"snmp-trap": 162, "bgp": 179, "irc": 194, "ldap": 389, "svrloc": 427, "https": 443,
	"microsoft-ds": 445, "kpasswd": 464, "submissions": 465, "isakmp": 500, "exec": 512,
	"login": 513, "shell": 514, "syslog": 514, "printer": 515, "talk": 517, "route": 520,
	"submission": 587, "nntps": 563, "ldaps": 636, "ipp": 631, "rsync": 873, "ftps": 990,
	"telnets": 992, "imaps": 993, "pop3s": 995, "socks": 1080, "openvpn": 1194,
	"ms-sql-s": 1433, "ms-sql-m": 1434, "l2f": 1701, "radius": 1812, "mqtt": 1883, "nfs": 2049,
	"zookeeper": 2181, "docker": 2375, "docker-s": 2376, "etcd-client": 2379,
	"etcd-server": 2380, "mysql": 3306, "ms-wbt-server": 3389, "svn": 3690, "epmd": 4369,
	"sip": 5060, "sip-tls": 5061, "xmpp-client": 5222, "xmpp-server": 5269, "mdns": 5353,
	"postgresql": 5432, "amqp": 5672, "amqps": 5671, "x11": 6000, "redis": 6379,
	"http-alt": 8080, "puppet": 8140, "git": 9418, "memcached": 11211,
}

// warnValue warns of a literal that is probably meant as something else.
func (c *compiler) warnValue(e *filter.Check, v *filter.Value) {
	f, isField := e.Left.(*filter.Field)
	if isField && v.Text == "<NA>" && (strings.HasPrefix(f.Name, "ka.") || strings.HasPrefix(f.Name, "jevt.")) {
		switch e.Op {
		case filter.Eq, filter.Ne, filter.In, filter.Intersects, filter.PMatch:
			c.problem(v.Pos, UnsafeNA, "comparing with <NA> finds no missing value; use exists")
		}
	}
	if e.Op == filter.Regex && simpleRegex(v.Text) {
		c.problem(v.Pos, DoubtfulValue, "the regex %q could be one of =, contains, startswith, endswith", v.Text)
	}
	text := strings.Join(strings.Fields(v.Text), "")
	if !strings.ContainsAny(text, ".(") {
		return
	}
	name, _, _ := strings.Cut(text, "[")
	if _, ok := c.reg.Lookup(name); ok {
		c.problem(v.Pos, DoubtfulValue, "%q is compared as text; write val(%s) for the field's value", v.Text, text)
	}
	for _, t := range append([]string{"val"}, filter.Transformers...) {
		if strings.HasPrefix(text, t+"(") && strings.HasSuffix(text, ")") {
			c.problem(v.Pos, DoubtfulValue, "%q is compared as text; leave out the quotes to apply %s", v.Text, t)
		}
	}
}

// simpleRegex says whether a regex is a literal text, perhaps with anything before or
// after it.
func simpleRegex(s string) bool {
	for i := 0; i < len(s); i++ {
		if i == 0 && s[i] == '^' || i == len(s)-1 && s[i] == '$' {
			continue
		}
		if (i == 0 || i == len(s)-2) && i+1 < len(s) && s[i] == '.' && strings.IndexByte("+*?", s[i+1]) >= 0 {
			i++
			continue
		}
		if strings.IndexByte(`.+*?^$()[]{}|\`, s[i]) >= 0 {
			return false
		}
	}
	return true
}
