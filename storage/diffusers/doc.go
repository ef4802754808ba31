// Package diffusers reads folders that Hugging Face diffusers writes: a DDPMPipeline
// or a UNet2DModel with its scheduler, from a Store that stands at the folder.
//
//	model_index.json                                  read by nobody here
//	unet/config.json                                  the network
//	unet/diffusion_pytorch_model.safetensors          its weights, or in shards:
//	unet/diffusion_pytorch_model-00001-of-0000N.safetensors
//	unet/diffusion_pytorch_model.safetensors.index.json
//	scheduler/scheduler_config.json                   the noise schedule
//
// The folders of 2022 keep config.json, the weights and scheduler_config.json at the
// top; each of the two parts is looked for below and then there, as diffusers does.
// What the descriptions mean is for package ddpm; only .safetensors is read, since
// .bin files can run code.
package diffusers
