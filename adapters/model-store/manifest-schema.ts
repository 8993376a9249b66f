/** What a manifest.json must be before anything is done with it: it may come from outside. */
import { z } from 'zod'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'

export const MANIFEST_FILE = 'manifest.json'

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
