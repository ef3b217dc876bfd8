package config

import "os"

// WatchFiles returns a Watcher of files and folders, as they are now. That of a folder tells
// when files in it come, go or are renamed; one that does not exist yet may come later.
func WatchFiles(paths ...string) *Watcher {
	w := &Watcher{}
	for _, path := range paths {
		var stamp fileStamp
		if info, err := os.Stat(path); err == nil {
			stamp = stampOf(info)
		}
		w.paths = append(w.paths, path)
		w.seen = append(w.seen, stamp)
	}
	return w
}
