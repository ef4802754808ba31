package ddpm

// ModelIndexJSON is the model_index.json that makes a checkpoint's folder a
// DDPMPipeline of Hugging Face diffusers.
func ModelIndexJSON() []byte {
	return []byte(`{
  "_class_name": "DDPMPipeline",
  "_diffusers_version": "0.40.0",
  "scheduler": [
    "diffusers",
    "DDPMScheduler"
  ],
  "unet": [
    "diffusers",
    "UNet2DModel"
  ]
}
`)
}
