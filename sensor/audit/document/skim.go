package document

// Members calls found for each member of the object that text begins with, in the text's
// order, with its name and its value as the text has it. Only places are looked for, so that
// a text of megabytes takes no more memory. It returns an error when text is not one object,
// or found does.
func Members(text string, found func(name, raw string) error) error {
	s := scanner{text: text}
	return s.skim('{', '}', func() error {
		s.blanks()
		start := s.pos
		if err := s.key(); err != nil {
			return err
		}
		var name Document
		// The key is followed by blanks and the colon, so it is scanned again by itself.
		key := scanner{text: text, pos: start, doc: &name}
		name.text = text
		if err := key.quoted(); err != nil {
			return err
		}
		raw, err := s.raw()
		if err != nil {
			return err
		}
		return found(name.Root().Text(), raw)
	})
}

// Elements calls found for each element of the array that text is, like Members.
func Elements(text string, found func(raw string) error) error {
	s := scanner{text: text}
	return s.skim('[', ']', func() error {
		raw, err := s.raw()
		if err != nil {
			return err
		}
		return found(raw)
	})
}

// Values calls found for each of the values that stand one after the other in text, like
// Elements. There may be none.
func Values(text string, found func(raw string) error) error {
	s := scanner{text: text}
	for {
		if s.blanks(); s.pos >= len(text) {
			return nil
		}
		raw, err := s.raw()
		if err != nil {
			return err
		}
		if err := found(raw); err != nil {
			return err
		}
	}
}

// First is the first byte of text that is no blank, 0 if there is none.
func First(text string) byte {
	s := scanner{text: text}
	if s.blanks(); s.pos < len(text) {
		return text[s.pos]
	}
	return 0
}

// raw is the next value as the text has it.
func (s *scanner) raw() (string, error) {
	s.blanks()
	start := s.pos
	err := s.value()
	return s.text[start:s.pos], err
}

// skim scans a text that is one array or object and has one scan each of its entries.
func (s *scanner) skim(opening, closing byte, one func() error) error {
	if s.blanks(); s.pos >= len(s.text) || s.text[s.pos] != opening {
		return s.unexpected()
	}
	s.depth++
	s.pos++
	if s.blanks(); s.pos < len(s.text) && s.text[s.pos] == closing {
		return s.close()
	}
	for {
		if err := one(); err != nil {
			return err
		}
		s.blanks()
		switch {
		case s.pos < len(s.text) && s.text[s.pos] == closing:
			return s.close()
		case s.pos < len(s.text) && s.text[s.pos] == ',':
			s.pos++
		default:
			return s.unexpected()
		}
	}
}

// close scans from the closing bracket to the end of the text.
func (s *scanner) close() error {
	s.pos++
	if s.blanks(); s.pos < len(s.text) {
		return s.unexpected()
	}
	return nil
}
