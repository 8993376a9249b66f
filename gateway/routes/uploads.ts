/** /v1/uploads: videos and tracks in, their way through the stages, and takedowns. */
import { extname } from 'node:path'
import type { Multipart } from '@fastify/multipart'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { CuestreamError, InvalidRequestError } from '../../ports/errors.ts'
import type { MediaStore, StoredMedia } from '../../ports/media.ts'
import type { App, GatewayDeps } from '../deps.ts'
import { RefusedRequestError } from '../problem.ts'
import { idSchema, pageOf, pageQuerySchema, uploadOf, uploadSchema } from '../representations.ts'
import { problems } from '../responses.ts'
import type { NewUpload } from '../uploads.ts'

/** What a multipart form may hold besides the file. */
const FORM_OVERHEAD_BYTES = 64 * 1024

const text = z.string().trim().min(1).max(300)

const aboutUpload = z.strictObject({
  kind: z.enum(['video', 'track']),
  id: idSchema.optional().describe('An id of your own; without one the upload is named by its content.'),
  title: text.optional(),
  artist: text.optional(),
  owner: text.optional(),
  licence: text.optional(),
  territories: z
    .preprocess(
      (value) => (typeof value === 'string' ? value.split(',').map((code) => code.trim().toUpperCase()) : value),
      z.array(z.string().regex(/^[A-Z]{2}$/, 'is not a country code of two letters')).max(300),
    )
    .optional()
    .describe('ISO 3166-1 alpha-2; none means worldwide. In a form: separated by commas.'),
  explicit: z.union([z.boolean(), z.stringbool()]).optional(),
})
type AboutUpload = z.infer<typeof aboutUpload>

const uploadByUri = aboutUpload.extend({
  uri: z.url().max(2048).describe('https, on a host that the operator allowed.'),
})
const uploadForm = aboutUpload.extend({
  file: z.string().meta({ contentEncoding: 'binary' }).describe('The media file, after all fields.'),
})

const acceptedSchema = uploadSchema.extend({
  duplicate: z.boolean().describe('This very content was received before; it is not analysed again.'),
})

export function uploadRoutes(app: App, deps: GatewayDeps): void {
  const { catalogue, uploads, config, mediaStore } = deps

  app.route({
    method: 'POST',
    url: '/v1/uploads',
    schema: {
      summary: 'Upload a video or a track',
      description: 'As a form with a file, or by a URI on an allowed host. The stages follow on GET /v1/uploads/{id}.',
      body: { content: { 'application/json': { schema: uploadByUri } } },
      response: { 200: acceptedSchema, 202: acceptedSchema, ...problems(400, 409, 413, 415, 422, 503) },
    },
    config: { streamedBodies: { 'multipart/form-data': uploadForm } },
    async onRequest({ headers }) {
      if (Number(headers['content-length']) > config.maxUploadBytes + FORM_OVERHEAD_BYTES) throw tooLarge(config)
    },
    async handler(request, reply) {
      if (!request.isMultipart() && request.body === undefined) {
        const message = 'Send multipart/form-data with a file, or application/json with a uri'
        throw new InvalidRequestError('unsupported-media-type', message, { status: 415 })
      }
      const upload = request.isMultipart()
        ? await readForm(request, mediaStore, config)
        : fromUri(request.body as z.infer<typeof uploadByUri>)
      const { id, duplicate } = await uploads.submit(upload, goneSignal(reply))
      const status = await catalogue.upload(id)
      reply.header('location', `/v1/uploads/${encodeURIComponent(id)}`).code(duplicate ? 200 : 202)
      const { kind } = upload
      return { ...uploadOf(status ?? { id, kind, stages: {}, failures: [] }), duplicate }
    },
  })

  app.get(
    '/v1/uploads',
    {
      schema: {
        summary: 'Uploads and their stages',
        querystring: pageQuerySchema,
        response: { 200: pageOf(uploadSchema), ...problems(400) },
      },
    },
    async ({ query: { after, limit } }) => {
      const page = await catalogue.listUploads({ limit, ...(after === undefined ? {} : { after }) })
      return { items: page.items.map(uploadOf), next: page.next ?? null }
    },
  )

  app.get(
    '/v1/uploads/:id',
    {
      schema: {
        summary: 'One upload: its stages, and what stopped it',
        params: z.object({ id: idSchema }),
        response: { 200: uploadSchema, ...problems(400, 404) },
      },
    },
    async ({ params: { id } }) => {
      const status = await catalogue.upload(id)
      if (status === undefined) {
        throw new InvalidRequestError('unknown-upload', `There is no upload ${id}`, { status: 404 })
      }
      return uploadOf(status)
    },
  )

  app.delete(
    '/v1/uploads/:id',
    {
      schema: {
        summary: 'Take an upload down',
        description: 'It leaves the index, the training data and the catalogue within moments.',
        params: z.object({ id: idSchema }),
        querystring: z.strictObject({ reason: text.optional() }),
        response: { 202: z.object({ id: z.string(), removal: z.literal('requested') }), ...problems(400, 404) },
      },
    },
    async ({ params: { id }, query: { reason } }, reply) => {
      await uploads.remove(id, reason)
      return reply.code(202).send({ id, removal: 'requested' })
    },
  )
}

function fromUri({ uri, ...about }: z.infer<typeof uploadByUri>): NewUpload {
  return { ...described(about), source: { uri } }
}

function described({ licence, territories, explicit, ...about }: AboutUpload): Omit<NewUpload, 'source'> {
  return {
    ...about,
    rights: { licence: licence ?? null, territories: territories ?? [], explicit: explicit ?? false },
  }
}

/** Fields first, so that a form that is wrong is refused before its file is read; then the one file. */
async function readForm(
  request: FastifyRequest,
  mediaStore: MediaStore,
  config: GatewayDeps['config'],
): Promise<NewUpload> {
  const fields: Record<string, unknown> = {}
  let about: AboutUpload | undefined
  let media: StoredMedia | undefined
  for await (const part of partsOf(request)) {
    if (media !== undefined) {
      throw new InvalidRequestError('form-order', 'The file is the last part of the form, and the only file')
    }
    if (part.type === 'field') {
      fields[part.fieldname] = part.value
      continue
    }
    about = parseFields(fields)
    about.title ??= titleOf(part)
    media = await mediaStore.put(bounded(part.file, config))
  }
  if (about === undefined || media === undefined) {
    throw new InvalidRequestError('file-missing', 'The form has no file; send it as the last part, with a file name')
  }
  return { ...described(about), source: { media } }
}

function parseFields(fields: Record<string, unknown>): AboutUpload {
  const parsed = aboutUpload.safeParse(fields)
  if (parsed.success) return parsed.data
  const errors = parsed.error.issues.map(({ path, message }) => ({ path: `/${path.join('/')}`, message }))
  const detail = errors.map(({ path, message }) => `${path === '/' ? 'form' : path.slice(1)}: ${message}`).join('; ')
  throw new RefusedRequestError('invalid-request', detail, { members: { errors } })
}

/** A file's name without its extension, as the title of an upload that has none. */
function titleOf(part: Extract<Multipart, { type: 'file' }>): string | undefined {
  const file: string = part.filename ?? '' // a part of plain bytes counts as a file without a name, too
  const name = file.slice(0, -extname(file).length || undefined).trim()
  return name === '' ? undefined : name.slice(0, 300)
}

/** The form's parts; what is wrong with the form itself is the caller's. */
async function* partsOf(request: FastifyRequest): AsyncGenerator<Multipart> {
  try {
    yield* request.parts()
  } catch (cause) {
    throw brokenForm(cause)
  }
}

async function* bounded(content: AsyncIterable<Buffer>, config: GatewayDeps['config']): AsyncGenerator<Buffer> {
  let bytes = 0
  try {
    for await (const chunk of content) {
      bytes += chunk.length
      if (bytes > config.maxUploadBytes) throw tooLarge(config)
      yield chunk
    }
  } catch (cause) {
    throw brokenForm(cause)
  }
}

/** The parser's own errors say how the form is malformed. */
function brokenForm(cause: unknown): unknown {
  if (!(cause instanceof Error) || cause instanceof CuestreamError) return cause
  return new InvalidRequestError('invalid-form', `The form breaks off or is malformed: ${cause.message}`, { cause })
}

function tooLarge({ maxUploadBytes }: GatewayDeps['config']): InvalidRequestError {
  const message = `A media file may have ${maxUploadBytes} bytes at most`
  return new InvalidRequestError('media-too-large', message, { status: 413 })
}

/** Aborted when the client has gone, so that a download for nobody stops. */
function goneSignal({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController()
  raw.once('close', () => controller.abort())
  return controller.signal
}
