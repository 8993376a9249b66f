/** What a release id and a manifest.json must be before anything is done with them: they may come from outside. */
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { InvalidRecordError, SetupError } from '../../ports/errors.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'

export const MANIFEST_FILE = 'manifest.json'
export const MAX_MANIFEST_BYTES = 1024 * 1024

/** Safe as a folder, an object key and a label. */
export const releaseId = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'must be a-z, 0-9, ".", "_", "-", at most 64')

const fileName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'must be a plain file name')
  .refine((name) => name !== MANIFEST_FILE, `must not be ${MANIFEST_FILE}`)
const positive = z.int().positive()
const encoder = z.strictObject({ id: z.string().min(1), dims: positive })

export const releaseManifest = z
  .strictObject({
    release: releaseId,
    model: z.string().min(1),
    dims: positive,
    encoders: z.strictObject({ video: encoder, music: encoder, text: encoder }),
    towers: z.strictObject({ query: fileName, music: fileName }),
    files: z
      .array(
        z.strictObject({ name: fileName, sha256: z.string().regex(/^[0-9a-f]{64}$/), bytes: z.int().nonnegative() }),
      )
      .min(1)
      .max(256),
    metrics: z.record(z.string(), z.number()),
    parent: releaseId.nullable(),
    createdAt: z.iso.datetime({ offset: true }),
  })
  .refine(({ files }) => new Set(files.map(({ name }) => name.toLowerCase())).size === files.length, {
    error: 'names a file twice',
    path: ['files'],
  })
  .refine(({ files, towers }) => Object.values(towers).every((tower) => files.some(({ name }) => name === tower)), {
    error: 'must be among the files',
    path: ['towers'],
  }) satisfies z.ZodType<ReleaseManifest>

/** @throws InvalidRecordError 'unknown-release' */
export function assertReleaseId(release: string): void {
  if (releaseId.safeParse(release).success) return
  throw new InvalidRecordError('unknown-release', `'${release.slice(0, 80)}' is not a release id.`)
}

/** @throws InvalidRecordError 'tampered-release' unless the text is a manifest of this release. */
export function readManifest(release: string, text: string | undefined): ReleaseManifest {
  const parsed = releaseManifest.safeParse(parseJson(text))
  if (!parsed.success) throw tampered(release, `its manifest is not valid: ${z.prettifyError(parsed.error)}`)
  if (parsed.data.release !== release) throw tampered(release, `its manifest says ${parsed.data.release}`)
  return parsed.data
}

export const manifestText = (manifest: ReleaseManifest): string => `${JSON.stringify(manifest, null, 2)}\n`

/** The same bundle made again has another time and may have been measured again. */
export function isSameBundle(one: ReleaseManifest, other: ReleaseManifest): boolean {
  const what = { createdAt: '', metrics: {} }
  return isDeepStrictEqual({ ...one, ...what }, { ...other, ...what })
}

export function unknownRelease(release: string): InvalidRecordError {
  return new InvalidRecordError(
    'unknown-release',
    `There is no release ${release} in the model store; publish it first.`,
  )
}

export function releaseExists(release: string): SetupError {
  const advice = 'publish this bundle under a new release id'
  return new SetupError('release-exists', `Release ${release} is published with other content; ${advice}.`)
}

export function tampered(release: string, fault: string): InvalidRecordError {
  const advice = 'Remove the release and publish it again.'
  return new InvalidRecordError('tampered-release', `Release ${release} is not what was published: ${fault}. ${advice}`)
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '')
  } catch {
    return undefined
  }
}
