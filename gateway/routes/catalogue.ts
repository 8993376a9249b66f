/** /v1/tracks and /v1/videos: what is there, and the media themselves. */
import { z } from 'zod'
import { InvalidRequestError } from '../../ports/errors.ts'
import type { UploadReceived } from '../../schemas/types.ts'
import type { App, GatewayDeps } from '../deps.ts'
import { sendMedia } from '../media-response.ts'
import { idSchema, pageOf, pageQuerySchema, trackOf, trackSchema, videoOf, videoSchema } from '../representations.ts'
import { problems } from '../responses.ts'

const byId = z.object({ id: idSchema })
/** For the document: a stream passes no serializer. */
const bytes = { content: { '*/*': { schema: z.unknown() } } }

export function catalogueRoutes(app: App, { catalogue, mediaStore }: GatewayDeps): void {
  app.get(
    '/v1/tracks',
    {
      schema: {
        summary: 'Tracks of the catalogue',
        querystring: pageQuerySchema,
        response: { 200: pageOf(trackSchema), ...problems(400) },
      },
    },
    async ({ query: { after, limit } }) => {
      const page = await catalogue.listTracks({ limit, ...(after === undefined ? {} : { after }) })
      return { items: page.items.map(trackOf), next: page.next ?? null }
    },
  )

  app.get(
    '/v1/tracks/:id',
    { schema: { summary: 'One track', params: byId, response: { 200: trackSchema, ...problems(400, 404) } } },
    async ({ params: { id } }) => trackOf(required(await catalogue.track(id), 'track', id)),
  )

  app.get(
    '/v1/videos',
    {
      schema: {
        summary: 'Videos that were uploaded',
        querystring: pageQuerySchema,
        response: { 200: pageOf(videoSchema), ...problems(400) },
      },
    },
    async ({ query: { after, limit } }) => {
      const page = await catalogue.listVideos({ limit, ...(after === undefined ? {} : { after }) })
      const items = await Promise.all(page.items.map(async (video) => videoOf(video, await catalogue.upload(video.id))))
      return { items, next: page.next ?? null }
    },
  )

  app.get(
    '/v1/videos/:id',
    { schema: { summary: 'One video', params: byId, response: { 200: videoSchema, ...problems(400, 404) } } },
    async ({ params: { id } }) => {
      const video = required(await catalogue.video(id), 'video', id)
      return videoOf(video, await catalogue.upload(id))
    },
  )

  const mediaSchema = {
    params: byId,
    response: { 200: bytes, 206: bytes, 304: bytes, ...problems(400, 404, 416) },
    description: 'Answers ranges.',
  }

  app.get(
    '/v1/tracks/:id/media',
    { schema: { ...mediaSchema, summary: "The track's file" } },
    async (request, reply) => {
      const { id } = request.params
      const { upload } = required(await catalogue.track(id), 'track', id)
      return sendMedia(request, reply, mediaStore, mediaOf(upload, id), 'track')
    },
  )

  app.get(
    '/v1/videos/:id/media',
    { schema: { ...mediaSchema, summary: "The video's file" } },
    async (request, reply) => {
      const { id } = request.params
      const { upload } = required(await catalogue.video(id), 'video', id)
      return sendMedia(request, reply, mediaStore, mediaOf(upload, id), 'video')
    },
  )
}

function required<T>(document: T | undefined, kind: 'track' | 'video', id: string): T {
  if (document !== undefined) return document
  throw new InvalidRequestError(`unknown-${kind}`, `There is no ${kind} ${id}`, { status: 404 })
}

function mediaOf(upload: UploadReceived | undefined, id: string): UploadReceived['media'] {
  if (upload !== undefined) return upload.media
  throw new InvalidRequestError('media-missing', `The file of ${id} is not known here`, { status: 404 })
}
