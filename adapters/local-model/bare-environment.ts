/** What programs need to run here at all. Addresses, names and passwords of services are not among it. */
const KEPT = new Set([
  ...['PATH', 'HOME', 'TMPDIR', 'TEMP', 'TMP', 'LANG', 'LC_ALL', 'TZ', 'NO_COLOR'],
  ...['SYSTEMROOT', 'WINDIR', 'USERPROFILE', 'PATHEXT', 'COMSPEC'],
])

/**
 * Takes all else out of the environment of a process that reads a file of others with native code, before it does.
 * It is no wall: the process may still read what its user may.
 */
export function bareEnvironment(env: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(env)) if (!KEPT.has(name.toUpperCase())) delete env[name]
}
