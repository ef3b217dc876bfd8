package gcpx

// Judge is for tests.
var Judge = judge
